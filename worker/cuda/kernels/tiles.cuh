// Tiles of attention: how they are read into shared memory, and multiplied on the tensor cores.
//
// Compiled for one width of heads: WIDTH, in tiles of HEAD columns (32, 64 or 128), the rest filled with 0.
// ALIGNED says that rows can be read 16 bytes at a time. A block has four warps, which share the rows that the
// block gives.

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
