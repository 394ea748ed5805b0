// Products of tiles by `mma.sync`, which every card since Ampere has: a warp alone multiplies 16 rows.

// 16 x 16 of a tile as the left side of a product.
template <int COUNT>
__device__ __forceinline__ void left(u32 (&r)[4], const bf16 *tile, int row, int chunk) {
    const int lane = threadIdx.x % 32;
    load(r, tile + place<COUNT>(row + lane % 16, chunk + lane / 16));
}

// 16 rows x 16 columns of a tile whose rows are the product's columns: two blocks of 8.
template <int COUNT>
__device__ __forceinline__ void right(u32 (&r)[4], const bf16 *tile, int row, int chunk) {
    const int lane = threadIdx.x % 32;
    load(r, tile + place<COUNT>(row + lane % 8 + lane / 16 * 8, chunk + lane / 8 % 2));
}

// 16 rows x 16 columns of a tile whose columns are the product's columns: two blocks of 8.
template <int COUNT>
__device__ __forceinline__ void right_turned(u32 (&r)[4], const bf16 *tile, int row, int chunk) {
    const int lane = threadIdx.x % 32;
    load_turned(r, tile + place<COUNT>(row + lane % 16, chunk + lane / 16));
}

// c = the warp's rows of `a`, which has COUNT, times the N rows of `b`, both HEAD wide.
template <int COUNT, int M, int N>
__device__ __forceinline__ void scores(Piece<M, N> &c, const bf16 *a, int row, const bf16 *b) {
    c = {};
#pragma unroll
    for (int k = 0; k < HEAD / 16; k++) {
        u32 of_a[M][4];
#pragma unroll
        for (int m = 0; m < M; m++) left<COUNT>(of_a[m], a, row + 16 * m, 2 * k);
#pragma unroll
        for (int n = 0; n < N / 16; n++) {
            u32 of_b[4];
            right<N>(of_b, b, 16 * n, 2 * k);
#pragma unroll
            for (int m = 0; m < M; m++) {
                multiply(c.of[m][2 * n], of_a[m], of_b[0], of_b[1]);
                multiply(c.of[m][2 * n + 1], of_a[m], of_b[2], of_b[3]);
            }
        }
    }
}

// c += p times the N rows of `b`.
template <int M, int N>
__device__ __forceinline__ void gather(Piece<M, HEAD> &c, const Packed<M, N> &p, const bf16 *b) {
#pragma unroll
    for (int k = 0; k < N / 16; k++)
#pragma unroll
        for (int n = 0; n < HEAD / 16; n++) {
            u32 of_b[4];
            right_turned<N>(of_b, b, 16 * k, 2 * n);
#pragma unroll
            for (int m = 0; m < M; m++) {
                multiply(c.of[m][2 * n], p.of[m][k], of_b[0], of_b[1]);
                multiply(c.of[m][2 * n + 1], p.of[m][k], of_b[2], of_b[3]);
            }
        }
}

// All products but the last LATER are there: here each is when it is asked for.
template <int LATER, int M, int N> __device__ __forceinline__ void done(Piece<M, N> &) {}
