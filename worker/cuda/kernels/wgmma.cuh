// Products of tiles by `wgmma`, which Hopper has: four warps, a warpgroup, multiply 64 rows, the right side lies in
// shared memory, and what they are asked for comes later. Each warp holds 16 of the rows, as with `mma.sync`.

// What `wgmma` is told of a place in a tile (PTX, "matrix descriptor"): stripes with 128 bytes of each row, 16 bytes
// of which are turned among themselves by the row's place in 8. `stride` are bytes from 8 rows to the next; `leading`,
// where rows are summed over, from one stripe to the next.
__device__ __forceinline__ u64 describe(const bf16 *at, u32 leading) {
    const u32 stride = 8 * PITCH * sizeof(bf16);
    return u64(1) << 62 | u64(stride >> 4) << 32 | u64(leading >> 4) << 16 | (address(at) & 0x3ffff) >> 4;
}

template <int M, int N> __device__ __forceinline__ void hold(Piece<M, N> &c) {
#pragma unroll
    for (int n = 0; n < N / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) hold(c.of[0][n][i]);
}

// c = the warpgroup's rows of `a`, which has COUNT, times the N rows of `b`, both HEAD wide.
template <int COUNT, int M, int N>
__device__ __forceinline__ void scores(Piece<M, N> &c, const bf16 *a, int row, const bf16 *b) {
    const u64 of_a = describe(a + row / 64 * 64 * PITCH, 16), of_b = describe(b, 16);
    hold(c);
    begin();
#pragma unroll
    for (int k = 0; k < HEAD / 16; k++) {
        const u32 stripe = k / 4, within = k % 4 * 32;
        multiply(c.of[0], of_a + ((stripe * COUNT * PITCH * 2 + within) >> 4),
                 of_b + ((stripe * N * PITCH * 2 + within) >> 4), 0 < k);
    }
    end();
}

// c += p times the N rows of `b`.
template <int M, int N>
__device__ __forceinline__ void gather(Piece<M, HEAD> &c, const Packed<M, N> &p, const bf16 *b) {
    const u64 of_b = describe(b, N * PITCH * 2);
    hold(c);
    begin();
#pragma unroll
    for (int k = 0; k < N / 16; k++) multiply(c.of[0], p.of[0][k], of_b + ((k * 16 * PITCH * 2) >> 4));
    end();
}

// All products but the last LATER are there, c among them.
template <int LATER, int M, int N> __device__ __forceinline__ void done(Piece<M, N> &c) {
    await_products<LATER>();
    hold(c);
}
