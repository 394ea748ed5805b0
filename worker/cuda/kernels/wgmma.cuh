// Products of tiles by `wgmma`, which Hopper has: four warps, a warpgroup, multiply 64 rows, the right side lies in
// shared memory, and what they are asked for comes later. Each warp holds 16 of the rows, as with `mma.sync`.

// What `wgmma` is told of a place in a tile (PTX, "matrix descriptor"): stripes of 128 bytes a row, whose 16 bytes
// are turned every 8 rows. `leading` are bytes from one stripe to the next where rows are summed over, `stride` from
// 8 rows to the next.
__device__ __forceinline__ u64 describe(const bf16 *at, u32 leading) {
    const u32 stride = 8 * PITCH * sizeof(bf16);
    return u64(1) << 62 | u64(stride >> 4) << 32 | u64(leading >> 4) << 16 | (address(at) & 0x3ffff) >> 4;
}

#define FOUR(i) "+f"(c[i][0]), "+f"(c[i][1]), "+f"(c[i][2]), "+f"(c[i][3])

// 64 rows of c (+)= 16 columns of `a` times as many of `b`, both in shared memory; and c += 16 columns of `a`, in
// registers, times 16 rows of `b`.
__device__ __forceinline__ void multiply(float (&c)[8][4], u64 a, u64 b, int is_sum) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {"
                 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
                 "%32, %33, p, 1, 1, 0, 0;\n}"
                 : FOUR(0), FOUR(1), FOUR(2), FOUR(3), FOUR(4), FOUR(5), FOUR(6), FOUR(7)
                 : "l"(a), "l"(b), "r"(is_sum));
}

__device__ __forceinline__ void multiply(float (&c)[8][4], const u32 (&a)[4], u64 b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {"
                 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
                 "{%32, %33, %34, %35}, %36, 1, 1, 1, 1;"
                 : FOUR(0), FOUR(1), FOUR(2), FOUR(3), FOUR(4), FOUR(5), FOUR(6), FOUR(7)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

__device__ __forceinline__ void multiply(float (&c)[16][4], u64 a, u64 b, int is_sum) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
                 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
                 "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
                 "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
                 "%64, %65, p, 1, 1, 0, 0;\n}"
                 : FOUR(0), FOUR(1), FOUR(2), FOUR(3), FOUR(4), FOUR(5), FOUR(6), FOUR(7),
                   FOUR(8), FOUR(9), FOUR(10), FOUR(11), FOUR(12), FOUR(13), FOUR(14), FOUR(15)
                 : "l"(a), "l"(b), "r"(is_sum));
}

__device__ __forceinline__ void multiply(float (&c)[16][4], const u32 (&a)[4], u64 b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
                 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
                 "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
                 "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
                 "{%64, %65, %66, %67}, %68, 1, 1, 1, 1;"
                 : FOUR(0), FOUR(1), FOUR(2), FOUR(3), FOUR(4), FOUR(5), FOUR(6), FOUR(7),
                   FOUR(8), FOUR(9), FOUR(10), FOUR(11), FOUR(12), FOUR(13), FOUR(14), FOUR(15)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

#undef FOUR

// What the compiler does with registers stays on its side of a product.
template <int M, int N> __device__ __forceinline__ void hold(Piece<M, N> &c) {
#pragma unroll
    for (int n = 0; n < N / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) asm volatile("" : "+f"(c.of[0][n][i])::"memory");
}

__device__ __forceinline__ void begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

__device__ __forceinline__ void end() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

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
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LATER) : "memory");
    hold(c);
}
