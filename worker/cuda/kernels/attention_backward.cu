// The gradient of attention. Keys and values gather theirs from all queries in one kernel, queries in another, so
// nothing is added up by atomics and everything comes out the same every time. Weights are computed again in
// each: that is cheaper than storing them.

// mean = sum of dy y, of each token and head: (rows, heads of queries, context). A warp each.
extern "C" __global__ void attention_means(const bf16 *y, const bf16 *dy, float *means, Shape shape,
                                           u32 tokens) {
    const u32 warp = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
    const u32 token = warp / shape.queries, head = warp % shape.queries;
    if (tokens <= token) return;
    const u64 at = (u64(token) * shape.queries + head) * WIDTH;
    float sum = 0;
    for (u32 i = lane; i < WIDTH; i += 32) sum += widen(y[at + i]) * widen(dy[at + i]);
#pragma unroll
    for (int step = 16; 0 < step; step >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (lane == 0)
        means[(u64(token / shape.context) * shape.queries + head) * shape.context +
              token % shape.context] = sum;
}

// Four bytes of each of some rows; 0 beyond the end.
__device__ __forceinline__ void fetch_number(u32 *to, const void *from, int at, int end) {
    const u32 *place = static_cast<const u32 *>(from) + (at < end ? at : 0);
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
                 :: "r"(static_cast<u32>(__cvta_generic_to_shared(to))), "l"(place), "r"(at < end ? 4 : 0));
}

// What belongs to the queries of a tile.
struct OfQueries {
    float partitions[NARROW], means[NARROW];
    u32 starts[NARROW];
};

// A block gives the gradients of 64 keys and values of one head of them. Grid: (tiles, heads of keys, rows). Rows
// are keys and columns are queries.
extern "C" __global__ void __launch_bounds__(THREADS)
    attention_keys(const bf16 *packed, const bf16 *dy, const float *log_partition, const float *means,
                   const u32 *starts, bf16 *dpacked, Shape shape) {
    constexpr int M = FEW_ROWS / 64;
    __shared__ OfQueries of_queries[2];
    bf16 *k = tiles, *v = k + FEW_ROWS * HEAD, *qs = v + FEW_ROWS * HEAD, *dys = qs + 2 * NARROW * HEAD;
    const int context = shape.context, served = blockIdx.y, row = blockIdx.z;
    const int first = blockIdx.x * FEW_ROWS, last = min(first + FEW_ROWS, context) - 1;
    const u64 joined = u64(shape.queries) * WIDTH;
    const bf16 *begin = packed + u64(row) * context * shape.columns;
    const bf16 *dy_begin = dy + u64(row) * context * joined;
    starts += u64(row) * context;
    const int group = shape.queries / shape.keys;
    const int key_column = (shape.queries + served) * WIDTH;
    const int value_column = key_column + shape.keys * WIDTH;

    // documents follow one another: behind the last query that sees the last key nobody does
    const int tile = first / NARROW;
    int tile_end = (context + NARROW - 1) / NARROW;
    {
        int low = tile + 1, high = tile_end;
        while (low < high) {
            const int middle = (low + high) / 2;
            if (last < int(starts[middle * NARROW])) high = middle;
            else low = middle + 1;
        }
        tile_end = low;
    }
    const auto get_tile = [&](int head, int at, int side) {
        const int begins = at * NARROW;
        fetch<NARROW>(qs + side * NARROW * HEAD, begin + head * WIDTH, shape.columns, begins, context);
        fetch<NARROW>(dys + side * NARROW * HEAD, dy_begin + head * WIDTH, joined, begins, context);
        const u64 of_head = (u64(row) * shape.queries + head) * context;
        const int query = threadIdx.x % NARROW;
        OfQueries &of = of_queries[side];
        switch (threadIdx.x / NARROW) {
        case 0:
            fetch_number(reinterpret_cast<u32 *>(of.partitions + query), log_partition + of_head,
                         begins + query, context);
            break;
        case 1:
            fetch_number(reinterpret_cast<u32 *>(of.means + query), means + of_head, begins + query,
                         context);
            break;
        case 2: fetch_number(of.starts + query, starts, begins + query, context); break;
        }
    };
    const int lane = threadIdx.x % 32, own = first + threadIdx.x / 32 * 16 * M;
    const int key = own + lane / 4;

    fetch<FEW_ROWS>(k, begin + key_column, shape.columns, first, context);
    fetch<FEW_ROWS>(v, begin + value_column, shape.columns, first, context);
    get_tile(served * group, tile, 0);
    fetched();
    Piece<M, HEAD> dk = {}, dv = {};
    const float by = shape.scale * LOG2E;
    int side = 0;
    for (int member = 0; member < group; member++)
        for (int at = tile; at < tile_end; at++) {
            const int head = served * group + member;
            if (at + 1 < tile_end) get_tile(head, at + 1, side ^ 1);
            else if (member + 1 < group) get_tile(head + 1, tile, side ^ 1);
            fetched();
            await<1>();
            const bf16 *q = qs + side * NARROW * HEAD, *d = dys + side * NARROW * HEAD;
            const OfQueries &of = of_queries[side];
            const int begins = at * NARROW, ends = begins + NARROW;
            // a warp whose keys all come after these queries has nothing to do
            if (own < ends) {
                Piece<M, NARROW> p = {}, dp = {};
                scores(p, k, own - first, q);
                scores(dp, v, own - first, d);
                const bool is_whole = ends <= context && own + 16 * M - 1 <= begins &&
                                      int(of.starts[NARROW - 1]) <= own;
                if (!is_whole) {
#pragma unroll
                    for (int n = 0; n < NARROW / 8; n++)
#pragma unroll
                        for (int j = 0; j < 2; j++) {
                            const int column = 8 * n + lane % 4 * 2 + j, query = begins + column;
                            const int start = query < context ? int(of.starts[column]) : context;
#pragma unroll
                            for (int m = 0; m < M; m++)
#pragma unroll
                                for (int i = j; i < 4; i += 2) {
                                    const bool is_seen = sees(query, key + 16 * m + i / 2 * 8, start, 0);
                                    p.of[m][n][i] = is_seen ? p.of[m][n][i] : -INFINITE;
                                }
                        }
                }
#pragma unroll
                for (int n = 0; n < NARROW / 8; n++)
#pragma unroll
                    for (int j = 0; j < 2; j++) {
                        const int column = 8 * n + lane % 4 * 2 + j;
                        const float partition = of.partitions[column] * LOG2E;
                        const float mean = of.means[column];
#pragma unroll
                        for (int m = 0; m < M; m++)
#pragma unroll
                            for (int half = 0; half < 2; half++) {
                                const int i = 2 * half + j;
                                const float weight = power_of_two(p.of[m][n][i] * by - partition);
                                p.of[m][n][i] = weight;
                                dp.of[m][n][i] = weight * (dp.of[m][n][i] - mean);
                            }
                    }
                gather(dv, p, d);
                gather(dk, dp, q);
            }
            __syncthreads();
            side ^= 1;
        }
    bf16 *to = dpacked + u64(row) * context * shape.columns;
    store(dk, shape.scale, to + key_column, shape.columns, own, context);
    store(dv, 1, to + value_column, shape.columns, own, context);
}

// A block gives the gradient of 128 queries of one head. Grid: (tiles, heads of queries, rows).
extern "C" __global__ void __launch_bounds__(THREADS)
    attention_queries(const bf16 *packed, const bf16 *dy, const float *log_partition,
                      const float *means, const u32 *starts, bf16 *dpacked, Shape shape) {
    constexpr int M = ROWS / 64;
    bf16 *q = tiles, *d = q + ROWS * HEAD, *ks = d + ROWS * HEAD, *vs = ks + 2 * NARROW * HEAD;
    const int context = shape.context, head = blockIdx.y, row = blockIdx.z;
    const int first = (gridDim.x - 1 - blockIdx.x) * ROWS, last = min(first + ROWS, context) - 1;
    const int served = head / (shape.queries / shape.keys);
    const u64 joined = u64(shape.queries) * WIDTH;
    const bf16 *begin = packed + u64(row) * context * shape.columns;
    const bf16 *keys = begin + (shape.queries + served) * WIDTH;
    const bf16 *values = keys + shape.keys * WIDTH;
    starts += u64(row) * context;
    const int tile = starts[first] / NARROW, tile_end = last / NARROW + 1, latest = starts[last];

    const int lane = threadIdx.x % 32, own = first + threadIdx.x / 32 * 16 * M;
    const int query = own + lane / 4;
    const u64 of_head = (u64(row) * shape.queries + head) * context;
    int start[M][2];
    float partition[M][2], mean[M][2];
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int at = query + 16 * m + 8 * half;
            const bool is_there = at < context;
            start[m][half] = is_there ? int(starts[at]) : context;
            partition[m][half] = is_there ? log_partition[of_head + at] * LOG2E : 0;
            mean[m][half] = is_there ? means[of_head + at] : 0;
        }

    fetch<ROWS>(q, begin + head * WIDTH, shape.columns, first, context);
    fetch<ROWS>(d, dy + u64(row) * context * joined + head * WIDTH, joined, first, context);
    fetch<NARROW>(ks, keys, shape.columns, tile * NARROW, context);
    fetch<NARROW>(vs, values, shape.columns, tile * NARROW, context);
    fetched();
    Piece<M, HEAD> dq = {};
    const float by = shape.scale * LOG2E;
    for (int at = tile; at < tile_end; at++) {
        const int side = (at - tile) & 1;
        if (at + 1 < tile_end) {
            fetch<NARROW>(ks + (side ^ 1) * NARROW * HEAD, keys, shape.columns, (at + 1) * NARROW, context);
            fetch<NARROW>(vs + (side ^ 1) * NARROW * HEAD, values, shape.columns, (at + 1) * NARROW,
                          context);
        }
        fetched();
        await<1>();
        if (at * NARROW <= own + 16 * M - 1) {
            const bf16 *k = ks + side * NARROW * HEAD;
            Piece<M, NARROW> p = {}, dp = {};
            scores(p, q, own - first, k);
            scores(dp, d, own - first, vs + side * NARROW * HEAD);
            const bool is_whole = own + 16 * M <= context && (at + 1) * NARROW <= own + 1 &&
                                  latest <= at * NARROW;
            if (!is_whole) {
#pragma unroll
                for (int m = 0; m < M; m++)
#pragma unroll
                    for (int n = 0; n < NARROW / 8; n++)
#pragma unroll
                        for (int i = 0; i < 4; i++) {
                            const int key = at * NARROW + 8 * n + lane % 4 * 2 + i % 2;
                            const bool is_seen =
                                sees(query + 16 * m + i / 2 * 8, key, start[m][i / 2], 0);
                            p.of[m][n][i] = is_seen ? p.of[m][n][i] : -INFINITE;
                        }
            }
#pragma unroll
            for (int m = 0; m < M; m++)
#pragma unroll
                for (int n = 0; n < NARROW / 8; n++)
#pragma unroll
                    for (int i = 0; i < 4; i++) {
                        const int half = i / 2;
                        const float weight = power_of_two(p.of[m][n][i] * by - partition[m][half]);
                        dp.of[m][n][i] = weight * (dp.of[m][n][i] - mean[m][half]);
                    }
            gather(dq, dp, k);
        }
        __syncthreads();
    }
    store(dq, shape.scale, dpacked + u64(row) * context * shape.columns + head * WIDTH, shape.columns, own,
          context);
}
