// The gradient of attention's queries, and what both gradients begin with.

// mean = sum of dy y, of each token and head: (rows, heads of queries, context). So many threads each.
constexpr int LANES = HEAD / 8;

extern "C" __global__ void attention_means(const bf16 *y, const bf16 *dy, float *means, Shape shape,
                                           u32 tokens) {
    constexpr int N = ALIGNED ? 8 : 1;
    const u32 thread = blockIdx.x * blockDim.x + threadIdx.x, lane = thread % LANES;
    const u32 token = thread / LANES / shape.queries, head = thread / LANES % shape.queries;
    const bool is_there = token < tokens;
    const u64 at = is_there ? (u64(token) * shape.queries + head) * WIDTH : 0;
    float sum = 0;
    for (u32 i = lane * N; i < WIDTH; i += LANES * N) {
        float a[N], b[N];
        get<N>(y + at + i, a);
        get<N>(dy + at + i, b);
#pragma unroll
        for (int j = 0; j < N; j++) sum += a[j] * b[j];
    }
#pragma unroll
    for (int step = LANES / 2; 0 < step; step >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (lane == 0 && is_there)
        means[(u64(token / shape.context) * shape.queries + head) * shape.context +
              token % shape.context] = sum;
}

// A block gives the gradient of ROWS queries of one head. Grid: (heads of queries, rows, tiles).
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    attention_queries(const bf16 *packed, const bf16 *dy, const float *log_partition,
                      const float *means, const u32 *starts, bf16 *dpacked, Shape shape) {
    constexpr int M = ROWS / WARPS / 16;
    bf16 *q = first_tile(), *d = q + ROWS * HEAD, *ks = d + ROWS * HEAD, *vs = ks + 2 * COLUMNS * HEAD;
    const int context = shape.context, head = blockIdx.x, row = blockIdx.y;
    // the longest of all heads first
    const int first = (gridDim.z - 1 - blockIdx.z) * ROWS, last = min(first + ROWS, context) - 1;
    const int served = head / (shape.queries / shape.keys);
    const u64 joined = u64(shape.queries) * WIDTH;
    const bf16 *begin = packed + u64(row) * context * shape.columns;
    const bf16 *keys = begin + (shape.queries + served) * WIDTH;
    const bf16 *values = keys + shape.keys * WIDTH;
    starts += u64(row) * context;
    const int tile = starts[first] / COLUMNS, tile_end = last / COLUMNS + 1, latest = starts[last];

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
    fetch<COLUMNS>(ks, keys, shape.columns, tile * COLUMNS, context);
    fetch<COLUMNS>(vs, values, shape.columns, tile * COLUMNS, context);
    Piece<M, HEAD> dq = {};
    const float by = shape.scale * LOG2E;
    for (int at = tile; at < tile_end; at++) {
        const int side = (at - tile) & 1;
        await();
        if (at + 1 < tile_end) {
            const int to = (side ^ 1) * COLUMNS * HEAD;
            fetch<COLUMNS>(ks + to, keys, shape.columns, (at + 1) * COLUMNS, context);
            fetch<COLUMNS>(vs + to, values, shape.columns, (at + 1) * COLUMNS, context);
        }
        if (WARPGROUPS || at * COLUMNS <= own + 16 * M - 1) {
            const bf16 *k = ks + side * COLUMNS * HEAD;
            Piece<M, COLUMNS> p, dp;
            scores<ROWS>(p, q, own - first, k);
            scores<ROWS>(dp, d, own - first, vs + side * COLUMNS * HEAD);
            done<1>(p);
            const bool is_whole = own + 16 * M <= context && (at + 1) * COLUMNS <= own + 1 &&
                                  latest <= at * COLUMNS;
            if (!is_whole) {
#pragma unroll
                for (int m = 0; m < M; m++)
#pragma unroll
                    for (int n = 0; n < COLUMNS / 8; n++)
#pragma unroll
                        for (int i = 0; i < 4; i++) {
                            const int key = at * COLUMNS + 8 * n + lane % 4 * 2 + i % 2;
                            const bool is_seen =
                                sees(query + 16 * m + i / 2 * 8, key, start[m][i / 2], 0);
                            p.of[m][n][i] = is_seen ? p.of[m][n][i] : -INFINITE;
                        }
            }
#pragma unroll
            for (int m = 0; m < M; m++)
#pragma unroll
                for (int n = 0; n < COLUMNS / 8; n++)
#pragma unroll
                    for (int i = 0; i < 4; i++)
                        p.of[m][n][i] = power_of_two(p.of[m][n][i] * by - partition[m][i / 2]);
            done<0>(dp);
#pragma unroll
            for (int m = 0; m < M; m++)
#pragma unroll
                for (int n = 0; n < COLUMNS / 8; n++)
#pragma unroll
                    for (int i = 0; i < 4; i++)
                        dp.of[m][n][i] = p.of[m][n][i] * (dp.of[m][n][i] - mean[m][i / 2]);
            gather(dq, pack(dp), k);
            done<0>(dq);
        }
    }
    store(dq, shape.scale, dpacked + u64(row) * context * shape.columns + head * WIDTH, shape.columns, own,
          context);
}
