// A matrix product for shapes that cublasLt has no kernel for: rows that begin at odd numbers. Column by
// column, as there: out (rows x columns) (+)= a (rows x inner) b (inner x columns), either turned.

constexpr int TILE = 16;

__device__ __forceinline__ float at(const bf16 *m, u32 row, u32 column, u32 rows, u32 columns, u64 stride,
                                    u32 is_turned) {
    if (rows <= row || columns <= column) return 0;
    return widen(is_turned ? m[column + row * stride] : m[row + column * stride]);
}

template <typename T>
__device__ void product(const bf16 *a, const bf16 *b, T *out, u32 rows, u32 columns, u32 inner,
                        u64 a_stride, u64 b_stride, u64 out_stride, u32 a_turned, u32 b_turned, u32 is_sum) {
    __shared__ float of_a[TILE][TILE + 1], of_b[TILE][TILE + 1];
    const u32 x = threadIdx.x % TILE, y = threadIdx.x / TILE;
    const u32 row = blockIdx.x * TILE + x, column = blockIdx.y * TILE + y;
    float sum = 0;
    for (u32 k = 0; k < inner; k += TILE) {
        of_a[y][x] = at(a, row, k + y, rows, inner, a_stride, a_turned);
        of_b[x][y] = at(b, k + x, column, inner, columns, b_stride, b_turned);
        __syncthreads();
        for (int i = 0; i < TILE; i++) sum += of_a[i][x] * of_b[i][y];
        __syncthreads();
    }
    if (rows <= row || columns <= column) return;
    T *to = out + row + column * out_stride;
    if constexpr (sizeof(T) == 4) {
        *to = is_sum ? *to + sum : sum;
    } else {
        *to = narrow(is_sum ? widen(*to) + sum : sum);
    }
}

extern "C" __global__ void product_f32(const bf16 *a, const bf16 *b, float *out, u32 rows, u32 columns,
                                       u32 inner, u64 a_stride, u64 b_stride, u64 out_stride,
                                       u32 a_turned, u32 b_turned, u32 is_sum) {
    product(a, b, out, rows, columns, inner, a_stride, b_stride, out_stride, a_turned, b_turned, is_sum);
}

extern "C" __global__ void product_bf16(const bf16 *a, const bf16 *b, bf16 *out, u32 rows, u32 columns,
                                        u32 inner, u64 a_stride, u64 b_stride, u64 out_stride,
                                        u32 a_turned, u32 b_turned, u32 is_sum) {
    product(a, b, out, rows, columns, inner, a_stride, b_stride, out_stride, a_turned, b_turned, is_sum);
}
