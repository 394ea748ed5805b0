// RMSNorm (1910.07467) with the residual before it, forward and backward.

// One block a row. Without `from` the stream is there already. The scale is that of the stream as it is
// stored, which is what the backward pass reads.
template <int N>
__device__ void norm(const bf16 *from, const bf16 *delta, const bf16 *gain, bf16 *stream, bf16 *y,
                     float *scale, u32 width, float eps) {
    const u64 row = u64(blockIdx.x) * width;
    float square = 0;
    for (u32 at = threadIdx.x * N; at < width; at += blockDim.x * N) {
        float x[N];
        if (from) {
            float added[N];
            get<N>(from + row + at, x);
            get<N>(delta + row + at, added);
#pragma unroll
            for (int j = 0; j < N; j++) x[j] = widen(narrow(x[j] + added[j]));
            put<N>(stream + row + at, x);
        } else {
            get<N>(stream + row + at, x);
        }
#pragma unroll
        for (int j = 0; j < N; j++) square += x[j] * x[j];
    }
    const float by = rsqrtf(sum_of_block(square) / width + eps);
    if (threadIdx.x == 0) scale[blockIdx.x] = by;
    for (u32 at = threadIdx.x * N; at < width; at += blockDim.x * N) {
        float x[N], gains[N];
        get<N>(stream + row + at, x);
        get<N>(gain + at, gains);
#pragma unroll
        for (int j = 0; j < N; j++) x[j] *= by * gains[j];
        put<N>(y + row + at, x);
    }
}

// Each block has some neighboring rows, and leaves its part of the gain's gradient in a row of `partial`.
template <int N>
__device__ void norm_backward(const bf16 *stream, const float *scale, const bf16 *gain, bf16 *dy,
                              bf16 *dx, float *partial, u32 rows, u32 width, u32 is_sum) {
    SHARED(float, dgain);
    for (u32 at = threadIdx.x * N; at < width; at += blockDim.x * N)
        for (int j = 0; j < N; j++) dgain[at + j] = 0;
    const u32 each = (rows + gridDim.x - 1) / gridDim.x;
    const u32 begin = min(blockIdx.x * each, rows), end = min(begin + each, rows);
    for (u32 index = begin; index < end; index++) {
        const u64 row = u64(index) * width;
        const float by = scale[index];
        float product = 0;
        for (u32 at = threadIdx.x * N; at < width; at += blockDim.x * N) {
            float d[N], x[N], gains[N];
            get<N>(dy + row + at, d);
            get<N>(stream + row + at, x);
            get<N>(gain + at, gains);
#pragma unroll
            for (int j = 0; j < N; j++) product += d[j] * gains[j] * x[j];
        }
        const float mean = sum_of_block(product) * by / width;
        for (u32 at = threadIdx.x * N; at < width; at += blockDim.x * N) {
            float d[N], x[N], gains[N], before[N] = {};
            get<N>(dy + row + at, d);
            get<N>(stream + row + at, x);
            get<N>(gain + at, gains);
            if (is_sum) get<N>(dx + row + at, before);
#pragma unroll
            for (int j = 0; j < N; j++) {
                const float normal = x[j] * by;
                dgain[at + j] += d[j] * normal;
                before[j] += by * (d[j] * gains[j] - normal * mean);
                x[j] = normal * gains[j];
            }
            put<N>(dx + row + at, before);
            put<N>(dy + row + at, x);
        }
    }
    for (u32 at = threadIdx.x * N; at < width; at += blockDim.x * N)
        for (int j = 0; j < N; j++) partial[u64(blockIdx.x) * width + at + j] = dgain[at + j];
}

#define NORM(N)                                                                                   \
    extern "C" __global__ void norm_##N(const bf16 *from, const bf16 *delta, const bf16 *gain,    \
                                        bf16 *stream, bf16 *y, float *scale, u32 width,           \
                                        float eps) {                                              \
        norm<N>(from, delta, gain, stream, y, scale, width, eps);                                 \
    }                                                                                             \
    extern "C" __global__ void norm_backward_##N(const bf16 *stream, const float *scale,          \
                                                 const bf16 *gain, bf16 *dy, bf16 *dx,            \
                                                 float *partial, u32 rows, u32 width,             \
                                                 u32 is_sum) {                                    \
        norm_backward<N>(stream, scale, gain, dy, dx, partial, rows, width, is_sum);              \
    }

NORM(8)
NORM(1)

// dgain += the rows of `partial`, one after another.
template <typename T>
__device__ void add_up_gain(const float *partial, T *dgain, u32 rows, u32 width) {
    const u32 at = blockIdx.x * blockDim.x + threadIdx.x;
    if (width <= at) return;
    float sum = 0;
#pragma unroll 8
    for (u32 row = 0; row < rows; row++) sum += partial[u64(row) * width + at];
    add(dgain[at], sum);
}

extern "C" __global__ void gain_gradient(const float *partial, float *dgain, u32 rows, u32 width) {
    add_up_gain(partial, dgain, rows, width);
}

extern "C" __global__ void gain_gradient_bf16(const float *partial, bf16 *dgain, u32 rows, u32 width) {
    add_up_gain(partial, dgain, rows, width);
}
