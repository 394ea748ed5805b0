// Causal attention within documents, and its gradient, on the tensor cores: tiles of queries and keys, the
// square matrix is never stored (2205.14135, 2307.08691).
//
// Compiled for one width of heads: WIDTH, in tiles of HEAD columns (32, 64 or 128), the rest filled with 0.
// ALIGNED says that rows can be read 16 bytes at a time. A block has four warps, which share the rows that the
// block gives: queries, or keys in the kernel for the gradients of keys and values. That one gathers from all
// queries, and another gives the queries' gradient, so nothing is added up by atomics and everything comes out
// the same every time. Weights are computed again in each: that is cheaper than storing them.

constexpr int THREADS = 128;
// What a warp reads of the other side serves all of its rows, 16 for each product of the tensor cores: 32 where
// it keeps one sum, 16 where it keeps two.
constexpr int ROWS = 128, FEW_ROWS = 64;
// Columns that a block goes through at a time: in the forward pass, and in the backward passes, which hold twice
// as much.
constexpr int KEYS = HEAD == 128 ? 32 : 64;
constexpr int NARROW = 32;
constexpr int CHUNKS = HEAD / 8;
constexpr float LOG2E = 1.4426950408889634f;

extern __shared__ __align__(128) bf16 tiles[];

// What a warp holds: M times 16 rows, N columns. Of four neighbors, two each are of a row and of the 8th after it.
template <int M, int N> struct Piece {
    float of[M][N / 8][4];
};

// Where things are: packed rows of queries, keys, values; `context` tokens a row of the batch.
struct Shape {
    u32 context, queries, keys, columns;
    float scale;
};

__device__ __forceinline__ float power_of_two(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// 16 bytes of a tile. Neighboring rows have theirs in other banks.
__device__ __forceinline__ int place(int row, int chunk) {
    const int turn = CHUNKS == 4 ? (row >> 1) & 3 : row & 7;
    return (row * CHUNKS + (chunk ^ turn)) * 8;
}

__device__ __forceinline__ u32 address(const bf16 *shared) {
    return static_cast<u32>(__cvta_generic_to_shared(shared));
}

// Rows `begin` on of a matrix into a tile; rows at `end` and beyond become 0, as do columns beyond the width.
template <int COUNT>
__device__ __forceinline__ void fetch(bf16 *tile, const bf16 *from, u64 stride, int begin, int end) {
#if ALIGNED
    // a thread has one chunk of every 8th row or rarer, so all of its places are turned alike
    constexpr int STEP = THREADS / CHUNKS;
    const int row = begin + threadIdx.x / CHUNKS, chunk = threadIdx.x % CHUNKS;
    const u32 to = address(tile + place(threadIdx.x / CHUNKS, chunk));
    const bf16 *at = from + u64(row) * stride + chunk * 8;
#pragma unroll
    for (int i = 0; i < COUNT / STEP; i++) {
        const bool is_there = (row + i * STEP < end) & (chunk * 8 < WIDTH);
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                     :: "r"(to + i * STEP * HEAD * 2), "l"(is_there ? at : from), "r"(is_there ? 16 : 0));
        at += STEP * stride;
    }
#else
    for (int i = threadIdx.x; i < COUNT * HEAD; i += THREADS) {
        const int row = i / HEAD, column = i % HEAD;
        const bool is_there = begin + row < end && column < WIDTH;
        tile[place(row, column / 8) + column % 8] =
            is_there ? from[u64(begin + row) * stride + column] : bf16(0);
    }
#endif
}

__device__ __forceinline__ void fetched() { asm volatile("cp.async.commit_group;"); }

template <int LATER> __device__ __forceinline__ void await() {
    asm volatile("cp.async.wait_group %0;" :: "n"(LATER));
    __syncthreads();
}

__device__ __forceinline__ void load(u32 (&r)[4], const bf16 *at) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address(at)));
}

__device__ __forceinline__ void load_turned(u32 (&r)[4], const bf16 *at) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address(at)));
}

// 16 x 16 of a tile as the left side of a product.
__device__ __forceinline__ void left(u32 (&r)[4], const bf16 *tile, int row, int chunk) {
    const int lane = threadIdx.x % 32;
    load(r, tile + place(row + lane % 16, chunk + lane / 16));
}

// 16 rows x 16 columns of a tile whose rows are the product's columns: two blocks of 8.
__device__ __forceinline__ void right(u32 (&r)[4], const bf16 *tile, int row, int chunk) {
    const int lane = threadIdx.x % 32;
    load(r, tile + place(row + lane % 8 + lane / 16 * 8, chunk + lane / 8 % 2));
}

// 16 rows x 16 columns of a tile whose columns are the product's columns: two blocks of 8.
__device__ __forceinline__ void right_turned(u32 (&r)[4], const bf16 *tile, int row, int chunk) {
    const int lane = threadIdx.x % 32;
    load_turned(r, tile + place(row + lane % 16, chunk + lane / 16));
}

__device__ __forceinline__ void multiply(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
                 "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// c += the warp's rows of `a` times the N rows of `b`, both HEAD wide.
template <int M, int N>
__device__ __forceinline__ void scores(Piece<M, N> &c, const bf16 *a, int row, const bf16 *b) {
#pragma unroll
    for (int k = 0; k < HEAD / 16; k++) {
        u32 of_a[M][4];
#pragma unroll
        for (int m = 0; m < M; m++) left(of_a[m], a, row + 16 * m, 2 * k);
#pragma unroll
        for (int n = 0; n < N / 16; n++) {
            u32 of_b[4];
            right(of_b, b, 16 * n, 2 * k);
#pragma unroll
            for (int m = 0; m < M; m++) {
                multiply(c.of[m][2 * n], of_a[m], of_b[0], of_b[1]);
                multiply(c.of[m][2 * n + 1], of_a[m], of_b[2], of_b[3]);
            }
        }
    }
}

// c += p, rounded to bf16, times the N rows of `b`.
template <int M, int N>
__device__ __forceinline__ void gather(Piece<M, HEAD> &c, const Piece<M, N> &p, const bf16 *b) {
#pragma unroll
    for (int k = 0; k < N / 16; k++) {
        u32 of_p[M][4];
#pragma unroll
        for (int m = 0; m < M; m++) {
            const float(&low)[4] = p.of[m][2 * k], (&high)[4] = p.of[m][2 * k + 1];
            of_p[m][0] = narrow2(low[0], low[1]);
            of_p[m][1] = narrow2(low[2], low[3]);
            of_p[m][2] = narrow2(high[0], high[1]);
            of_p[m][3] = narrow2(high[2], high[3]);
        }
#pragma unroll
        for (int n = 0; n < HEAD / 16; n++) {
            u32 of_b[4];
            right_turned(of_b, b, 16 * k, 2 * n);
#pragma unroll
            for (int m = 0; m < M; m++) {
                multiply(c.of[m][2 * n], of_p[m], of_b[0], of_b[1]);
                multiply(c.of[m][2 * n + 1], of_p[m], of_b[2], of_b[3]);
            }
        }
    }
}

// The warp's rows of c times a factor for each, to rows of a matrix.
template <int M>
__device__ __forceinline__ void store(const Piece<M, HEAD> &c, const float (&by)[M][2], bf16 *to, u64 stride,
                                      int row, int end) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int at = row + 16 * m + lane / 4 + 8 * half;
            if (end <= at) continue;
#pragma unroll
            for (int n = 0; n < HEAD / 8; n++) {
                const int column = 8 * n + lane % 4 * 2;
                const float(&four)[4] = c.of[m][n];
                if (column < WIDTH)
                    *reinterpret_cast<u32 *>(to + u64(at) * stride + column) =
                        narrow2(four[2 * half] * by[m][half], four[2 * half + 1] * by[m][half]);
            }
        }
}

template <int M>
__device__ __forceinline__ void store(const Piece<M, HEAD> &c, float by, bf16 *to, u64 stride, int row,
                                      int end) {
    float all[M][2];
#pragma unroll
    for (int m = 0; m < M; m++) all[m][0] = all[m][1] = by;
    store(c, all, to, stride, row, end);
}

// What a query may look at: what branches share, and from its document's beginning to itself. Without branches:
// it is asked for every number.
__device__ __forceinline__ bool sees(int query, int key, int start, int shared) {
    return (key <= query) & ((start <= key) | (key < min(start, shared)));
}

__device__ __forceinline__ float largest_of_four(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

__device__ __forceinline__ float sum_of_four(float x) {
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

// A block gives 128 queries of one head. Grid: (tiles, heads of queries, rows).
extern "C" __global__ void __launch_bounds__(THREADS)
    attention(const bf16 *packed, bf16 *y, float *log_partition, const u32 *starts,
              const u32 *shares, Shape shape) {
    constexpr int M = ROWS / 64;
    bf16 *q = tiles, *ks = q + ROWS * HEAD, *vs = ks + 2 * KEYS * HEAD;
    const int context = shape.context, head = blockIdx.y, row = blockIdx.z;
    // the longest first
    const int first = (gridDim.x - 1 - blockIdx.x) * ROWS, last = min(first + ROWS, context) - 1;
    const int served = head / (shape.queries / shape.keys);
    const bf16 *begin = packed + u64(row) * context * shape.columns;
    const bf16 *keys = begin + (shape.queries + served) * WIDTH;
    const bf16 *values = keys + shape.keys * WIDTH;
    starts += u64(row) * context;
    const int shared = shares[row], latest = starts[last];
    const int tile = 0 < shared ? 0 : starts[first] / KEYS, tile_end = last / KEYS + 1;

    const int lane = threadIdx.x % 32, own = first + threadIdx.x / 32 * (16 * M);
    const int query = own + lane / 4;
    int start[M][2];
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int at = query + 16 * m + 8 * half;
            start[m][half] = at < context ? int(starts[at]) : 0;
        }

    fetch<ROWS>(q, begin + head * WIDTH, shape.columns, first, context);
    fetch<KEYS>(ks, keys, shape.columns, tile * KEYS, context);
    fetch<KEYS>(vs, values, shape.columns, tile * KEYS, context);
    fetched();
    Piece<M, HEAD> out = {};
    float total[M][2] = {}, top[M][2];
#pragma unroll
    for (int m = 0; m < M; m++) top[m][0] = top[m][1] = -INFINITE;
    const float by = shape.scale * LOG2E;
    for (int at = tile; at < tile_end; at++) {
        const int side = (at - tile) & 1;
        if (at + 1 < tile_end) {
            fetch<KEYS>(ks + (side ^ 1) * KEYS * HEAD, keys, shape.columns, (at + 1) * KEYS, context);
            fetch<KEYS>(vs + (side ^ 1) * KEYS * HEAD, values, shape.columns, (at + 1) * KEYS, context);
        }
        fetched();
        await<1>();
        // a warp whose queries all come before these keys has nothing to do
        if (at * KEYS <= own + 16 * M - 1) {
            Piece<M, KEYS> p = {};
            scores(p, q, own - first, ks + side * KEYS * HEAD);
            // all that lies between the latest beginning and the first query is seen by every query
            const bool is_whole = (at + 1) * KEYS <= own + 1 && latest <= at * KEYS;
            if (!is_whole) {
#pragma unroll
                for (int m = 0; m < M; m++)
#pragma unroll
                    for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
                        for (int i = 0; i < 4; i++) {
                            const int key = at * KEYS + 8 * n + lane % 4 * 2 + i % 2;
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
                    for (int n = 0; n < KEYS / 8; n++)
                        most = fmaxf(most, fmaxf(p.of[m][n][2 * half], p.of[m][n][2 * half + 1]));
                    most = largest_of_four(most);
                    // where nothing was seen yet there is nothing to be scaled
                    const float base = most == -INFINITE ? 0 : most * by;
                    const float less = power_of_two(top[m][half] * by - base);
                    top[m][half] = most;
                    float sum = 0;
#pragma unroll
                    for (int n = 0; n < KEYS / 8; n++)
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
            gather(out, p, vs + side * KEYS * HEAD);
        }
        __syncthreads();
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
