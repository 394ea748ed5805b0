// Tiles of attention: how they lie in shared memory, and how they are read into it.
//
// Compiled for one width of heads: WIDTH, in tiles of HEAD columns (32, 64 or 128), the rest filled with 0.
// ALIGNED says that rows can be read 16 bytes at a time. A block has THREADS threads, which share the ROWS that the
// block gives, and goes through the other side COLUMNS at a time; at least BLOCKS are at work on a multiprocessor.
// With WARPGROUPS tiles are multiplied by Hopper's `wgmma` (wgmma.cuh), else by `mma.sync` (mma.cuh).

constexpr int WARPS = THREADS / 32;
constexpr int CHUNKS = HEAD / 8;
// Numbers from one row of a tile to the next: `wgmma` wants them in stripes of 64 columns, one after another.
constexpr int PITCH = WARPGROUPS ? 64 : HEAD;
constexpr float LOG2E = 1.4426950408889634f;

SHARED(bf16, tiles);

// Where tiles begin: `wgmma` finds its places by the bits of addresses.
__device__ __forceinline__ bf16 *first_tile() {
    const u32 begin = address(tiles);
    return tiles + ((begin + 1023) / 1024 * 1024 - begin) / sizeof(bf16);
}

// What a warp holds: M times 16 rows, N columns. Of four neighbors, two each are of a row and of the 8th after it.
template <int M, int N> struct Piece {
    float of[M][N / 8][4];
};

// The same, rounded, as the left side of a product.
template <int M, int N> struct Packed {
    u32 of[M][N / 16][4];
};

template <int M, int N> __device__ __forceinline__ Packed<M, N> pack(const Piece<M, N> &p) {
    Packed<M, N> packed;
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int k = 0; k < N / 16; k++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const float(&four)[4] = p.of[m][2 * k + i / 2];
                packed.of[m][k][i] = narrow2(four[i % 2 * 2], four[i % 2 * 2 + 1]);
            }
    return packed;
}

// Where things are: packed rows of queries, keys, values; `context` tokens a row of the batch.
struct Shape {
    u32 context, queries, keys, columns;
    float scale;
};

// 16 bytes of a tile of COUNT rows. Neighboring rows have theirs in other banks.
template <int COUNT> __device__ __forceinline__ int place(int row, int chunk) {
    const int turn = CHUNKS == 4 ? (row >> 1) & 3 : row & 7;
    if constexpr (WARPGROUPS) return (chunk / 8 * COUNT + row) * PITCH + (chunk % 8 ^ turn) * 8;
    return row * PITCH + (chunk ^ turn) * 8;
}

// Rows `begin` on of a matrix into a tile; rows at `end` and beyond become 0, as do columns beyond the width.
template <int COUNT>
__device__ __forceinline__ void fetch(bf16 *tile, const bf16 *from, u64 stride, int begin, int end) {
#if ALIGNED
    // a thread has one chunk of every 8th row or rarer, so all of its places are turned alike
    constexpr int STEP = THREADS / CHUNKS;
    const int own = threadIdx.x / CHUNKS, chunk = threadIdx.x % CHUNKS;
    const u32 to = address(tile + place<COUNT>(own, chunk));
    const bf16 *at = from + u64(begin + own) * stride + chunk * 8;
#pragma unroll
    for (int i = 0; i < COUNT; i += STEP) {
        if (COUNT % STEP != 0 && COUNT <= own + i) break;
        const bool is_there = (begin + own + i < end) & (chunk * 8 < WIDTH);
        copy<16>(to + i * PITCH * 2, is_there ? at : from, is_there);
        at += STEP * stride;
    }
#else
    for (int i = threadIdx.x; i < COUNT * HEAD; i += THREADS) {
        const int row = i / HEAD, column = i % HEAD;
        const bool is_there = begin + row < end && column < WIDTH;
        tile[place<COUNT>(row, column / 8) + column % 8] =
            is_there ? from[u64(begin + row) * stride + column] : bf16(0);
    }
#endif
}

// What was fetched is there, and every warp is done with what it read before.
__device__ __forceinline__ void await() {
    await_copies();
#if WARPGROUPS
    show_stores();
#endif
    __syncthreads();
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
