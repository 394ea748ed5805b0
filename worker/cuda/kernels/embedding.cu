// Rows of a table by token, and the gradient's way back.

// One block a token.
template <int N>
__device__ void embed(const bf16 *table, const u32 *inputs, bf16 *x, u32 width) {
    const bf16 *from = table + u64(inputs[blockIdx.x]) * width;
    bf16 *to = x + u64(blockIdx.x) * width;
    for (u32 at = threadIdx.x * N; at < width; at += blockDim.x * N) {
        float values[N];
        get<N>(from + at, values);
        put<N>(to + at, values);
    }
}

extern "C" __global__ void embed_8(const bf16 *table, const u32 *inputs, bf16 *x, u32 width) {
    embed<8>(table, inputs, x, width);
}

extern "C" __global__ void embed_1(const bf16 *table, const u32 *inputs, bf16 *x, u32 width) {
    embed<1>(table, inputs, x, width);
}

// One row of blocks for each token that occurs: `order` has the places where it does, in their order,
// from `firsts[i]` on. So every row of the table is summed by one thread a column, always alike.
template <int N, typename T>
__device__ void embed_backward(const bf16 *dx, const u32 *tokens, const u32 *firsts,
                               const u32 *order, T *dtable, u32 width) {
    const u32 at = (blockIdx.y * blockDim.x + threadIdx.x) * N;
    if (width <= at) return;
    float sum[N] = {};
    const u32 end = firsts[blockIdx.x + 1];
#pragma unroll 4
    for (u32 i = firsts[blockIdx.x]; i < end; i++) {
        float values[N];
        get<N>(dx + u64(order[i]) * width + at, values);
#pragma unroll
        for (int j = 0; j < N; j++) sum[j] += values[j];
    }
    T *into = dtable + u64(tokens[blockIdx.x]) * width + at;
#pragma unroll
    for (int j = 0; j < N; j++) add(into[j], sum[j]);
}

#define EMBED_BACKWARD(NAME, N, T)                                                                \
    extern "C" __global__ void NAME(const bf16 *dx, const u32 *tokens, const u32 *firsts,         \
                                    const u32 *order, T *dtable, u32 width) {                     \
        embed_backward<N>(dx, tokens, firsts, order, dtable, width);                              \
    }

EMBED_BACKWARD(embed_backward_8, 8, float)
EMBED_BACKWARD(embed_backward_1, 1, float)
EMBED_BACKWARD(embed_backward_bf16_8, 8, bf16)
EMBED_BACKWARD(embed_backward_bf16_1, 1, bf16)
