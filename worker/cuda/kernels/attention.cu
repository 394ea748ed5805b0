// Causal attention within documents: tiles of queries and keys, the square matrix is never stored (2205.14135,
// 2307.08691).

// A block gives ROWS queries of one head. Grid: (heads of queries, rows, tiles).
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    attention(const bf16 *packed, bf16 *y, float *log_partition, const u32 *starts,
              const u32 *shares, Shape shape) {
    constexpr int M = ROWS / WARPS / 16;
    bf16 *q = first_tile(), *ks = q + ROWS * HEAD, *vs = ks + 2 * COLUMNS * HEAD;
    const int context = shape.context, head = blockIdx.x, row = blockIdx.y;
    // the longest of all heads first: nobody waits for one that began late
    const int first = (gridDim.z - 1 - blockIdx.z) * ROWS, last = min(first + ROWS, context) - 1;
    const int served = head / (shape.queries / shape.keys);
    const bf16 *begin = packed + u64(row) * context * shape.columns;
    const bf16 *keys = begin + (shape.queries + served) * WIDTH;
    const bf16 *values = keys + shape.keys * WIDTH;
    starts += u64(row) * context;
    const int shared = shares[row], latest = starts[last];
    const int tile = 0 < shared ? 0 : starts[first] / COLUMNS, tile_end = last / COLUMNS + 1;

    const int lane = threadIdx.x % 32, own = first + threadIdx.x / 32 * (16 * M);
    const int query = own + lane / 4;
    // a warpgroup multiplies as one
    const int last_own = WARPGROUPS ? own - (own - first) % 64 + 63 : own + 16 * M - 1;
    int start[M][2];
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int at = query + 16 * m + 8 * half;
            start[m][half] = at < context ? int(starts[at]) : 0;
        }

    fetch<ROWS>(q, begin + head * WIDTH, shape.columns, first, context);
    fetch<COLUMNS>(ks, keys, shape.columns, tile * COLUMNS, context);
    fetch<COLUMNS>(vs, values, shape.columns, tile * COLUMNS, context);
    Piece<M, HEAD> out = {};
    float total[M][2] = {}, top[M][2];
#pragma unroll
    for (int m = 0; m < M; m++) top[m][0] = top[m][1] = -INFINITE;
    const float by = shape.scale * LOG2E;
    for (int at = tile; at < tile_end; at++) {
        const int side = (at - tile) & 1;
        await();
        if (at + 1 < tile_end) {
            const int next = (side ^ 1) * COLUMNS * HEAD;
            fetch<COLUMNS>(ks + next, keys, shape.columns, (at + 1) * COLUMNS, context);
            fetch<COLUMNS>(vs + next, values, shape.columns, (at + 1) * COLUMNS, context);
        }
        // where all queries come before these keys there is nothing to do
        if (at * COLUMNS <= last_own) {
            Piece<M, COLUMNS> p;
            scores<ROWS>(p, q, own - first, ks + side * COLUMNS * HEAD);
            done<0>(p);
            // all that lies between the latest beginning and the first query is seen by every query
            const bool is_whole = (at + 1) * COLUMNS <= own + 1 && latest <= at * COLUMNS;
            if (!is_whole) {
#pragma unroll
                for (int m = 0; m < M; m++)
#pragma unroll
                    for (int n = 0; n < COLUMNS / 8; n++)
#pragma unroll
                        for (int i = 0; i < 4; i++) {
                            const int key = at * COLUMNS + 8 * n + lane % 4 * 2 + i % 2;
                            const bool is_seen =
                                sees(query + 16 * m + i / 2 * 8, key, start[m][i / 2], shared);
                            p.of[m][n][i] = is_seen ? p.of[m][n][i] : -INFINITE;
                        }
            }
#pragma unroll
            for (int m = 0; m < M; m++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    float most = top[m][half];
#pragma unroll
                    for (int n = 0; n < COLUMNS / 8; n++)
                        most = fmaxf(most, fmaxf(p.of[m][n][2 * half], p.of[m][n][2 * half + 1]));
                    most = largest_of_four(most);
                    // where nothing was seen yet there is nothing to be scaled
                    const float base = most == -INFINITE ? 0 : most * by;
                    const float less = power_of_two(top[m][half] * by - base);
                    top[m][half] = most;
                    float sum = 0;
#pragma unroll
                    for (int n = 0; n < COLUMNS / 8; n++)
#pragma unroll
                        for (int i = 2 * half; i < 2 * half + 2; i++) {
                            p.of[m][n][i] = power_of_two(p.of[m][n][i] * by - base);
                            sum += p.of[m][n][i];
                        }
                    total[m][half] = total[m][half] * less + sum;
#pragma unroll
                    for (int n = 0; n < HEAD / 8; n++) {
                        out.of[m][n][2 * half] *= less;
                        out.of[m][n][2 * half + 1] *= less;
                    }
                }
            gather(out, pack(p), vs + side * COLUMNS * HEAD);
            done<0>(out);
        }
    }
    float share[M][2];
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float sum = sum_of_four(total[m][half]);
            share[m][half] = 1 / sum;
            const int at = query + 16 * m + 8 * half;
            if (lane % 4 == 0 && at < context)
                log_partition[(u64(row) * shape.queries + head) * context + at] =
                    top[m][half] * shape.scale + logf(sum);
        }
    const u64 joined = u64(shape.queries) * WIDTH;
    store(out, share, y + u64(row) * context * joined + head * WIDTH, joined, own, context);
}
