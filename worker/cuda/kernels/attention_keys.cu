// The gradient of attention's keys and values, which they gather from all queries. Queries gather theirs in
// another kernel (attention_queries.cu), so nothing is added up by atomics and everything comes out the same every
// time. Weights are computed again in each: that is cheaper than storing them.

// Four bytes of each of some rows; 0 beyond the end.
template <typename T>
__device__ __forceinline__ void fetch_number(T *to, const T *from, int at, int end) {
    copy<4>(address(to), from + (at < end ? at : 0), at < end);
}

// What belongs to the queries of a tile.
struct OfQueries {
    float partitions[COLUMNS], means[COLUMNS];
    u32 starts[COLUMNS];
};

// A block gives the gradients of ROWS keys and values of one head of them. Grid: (heads of keys, rows, tiles). Rows
// are keys and columns are queries.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    attention_keys(const bf16 *packed, const bf16 *dy, const float *log_partition, const float *means,
                   const u32 *starts, bf16 *dpacked, Shape shape) {
    constexpr int M = ROWS / WARPS / 16;
    __shared__ OfQueries of_queries[2];
    bf16 *k = first_tile(), *v = k + ROWS * HEAD, *qs = v + ROWS * HEAD, *dys = qs + 2 * COLUMNS * HEAD;
    const int context = shape.context, served = blockIdx.x, row = blockIdx.y;
    // the longest of all heads first
    const int first = blockIdx.z * ROWS, last = min(first + ROWS, context) - 1;
    const u64 joined = u64(shape.queries) * WIDTH;
    const bf16 *begin = packed + u64(row) * context * shape.columns;
    const bf16 *dy_begin = dy + u64(row) * context * joined;
    starts += u64(row) * context;
    const int group = shape.queries / shape.keys;
    const int key_column = (shape.queries + served) * WIDTH;
    const int value_column = key_column + shape.keys * WIDTH;

    // documents follow one another: behind the last query that sees the last key nobody does
    const int tile = first / COLUMNS;
    int tile_end = (context + COLUMNS - 1) / COLUMNS;
    {
        int low = tile + 1, high = tile_end;
        while (low < high) {
            const int middle = (low + high) / 2;
            if (last < int(starts[middle * COLUMNS])) high = middle;
            else low = middle + 1;
        }
        tile_end = low;
    }
    const auto get_tile = [&](int head, int at, int side) {
        const int begins = at * COLUMNS;
        fetch<COLUMNS>(qs + side * COLUMNS * HEAD, begin + head * WIDTH, shape.columns, begins, context);
        fetch<COLUMNS>(dys + side * COLUMNS * HEAD, dy_begin + head * WIDTH, joined, begins, context);
        const u64 of_head = (u64(row) * shape.queries + head) * context;
        OfQueries &of = of_queries[side];
        for (int i = threadIdx.x; i < 3 * COLUMNS; i += THREADS) {
            const int query = i % COLUMNS;
            if (i < COLUMNS)
                fetch_number(of.partitions + query, log_partition + of_head, begins + query, context);
            else if (i < 2 * COLUMNS)
                fetch_number(of.means + query, means + of_head, begins + query, context);
            else
                fetch_number(of.starts + query, starts, begins + query, context);
        }
    };
    const int lane = threadIdx.x % 32, own = first + threadIdx.x / 32 * 16 * M;
    const int key = own + lane / 4;

    fetch<ROWS>(k, begin + key_column, shape.columns, first, context);
    fetch<ROWS>(v, begin + value_column, shape.columns, first, context);
    get_tile(served * group, tile, 0);
    Piece<M, HEAD> dk = {}, dv = {};
    const float by = shape.scale * LOG2E;
    int side = 0;
    for (int member = 0; member < group; member++)
        for (int at = tile; at < tile_end; at++) {
            const int head = served * group + member;
            await();
            if (at + 1 < tile_end) get_tile(head, at + 1, side ^ 1);
            else if (member + 1 < group) get_tile(head + 1, tile, side ^ 1);
            const bf16 *q = qs + side * COLUMNS * HEAD, *d = dys + side * COLUMNS * HEAD;
            const OfQueries &of = of_queries[side];
            const int begins = at * COLUMNS, ends = begins + COLUMNS;
            // a warp whose keys all come after these queries has nothing to do; a warpgroup is not parted
            if (WARPGROUPS || own < ends) {
                Piece<M, COLUMNS> p, dp;
                scores<ROWS>(p, k, own - first, q);
                scores<ROWS>(dp, v, own - first, d);
                done<1>(p);
                const bool is_whole = ends <= context && own + 16 * M - 1 <= begins &&
                                      int(of.starts[COLUMNS - 1]) <= own;
                if (!is_whole) {
#pragma unroll
                    for (int n = 0; n < COLUMNS / 8; n++)
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
                for (int n = 0; n < COLUMNS / 8; n++)
#pragma unroll
                    for (int j = 0; j < 2; j++) {
                        const float partition = of.partitions[8 * n + lane % 4 * 2 + j] * LOG2E;
#pragma unroll
                        for (int m = 0; m < M; m++)
#pragma unroll
                            for (int i = j; i < 4; i += 2)
                                p.of[m][n][i] = power_of_two(p.of[m][n][i] * by - partition);
                    }
                gather(dv, pack(p), d);
                done<1>(dp);
#pragma unroll
                for (int n = 0; n < COLUMNS / 8; n++)
#pragma unroll
                    for (int j = 0; j < 2; j++) {
                        const float mean = of.means[8 * n + lane % 4 * 2 + j];
#pragma unroll
                        for (int m = 0; m < M; m++)
#pragma unroll
                            for (int i = j; i < 4; i += 2)
                                dp.of[m][n][i] = p.of[m][n][i] * (dp.of[m][n][i] - mean);
                    }
                gather(dk, pack(dp), q);
                done<0>(dv);
                done<0>(dk);
            }
            side ^= 1;
        }
    bf16 *to = dpacked + u64(row) * context * shape.columns;
    store(dk, shape.scale, to + key_column, shape.columns, own, context);
    store(dv, 1, to + value_column, shape.columns, own, context);
}
