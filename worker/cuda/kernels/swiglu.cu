// SwiGLU (2002.05202), forward and backward. `packed` is (n, 2 ffn): gates, then ups.

__device__ __forceinline__ float sigmoid(float x) { return 1 / (1 + __expf(-x)); }

template <int N> __device__ void swiglu(const bf16 *packed, bf16 *hidden, u32 ffn, u64 pieces) {
    for (u64 i = u64(blockIdx.x) * blockDim.x + threadIdx.x; i < pieces;
         i += u64(gridDim.x) * blockDim.x) {
        const u64 row = i / (ffn / N), at = i % (ffn / N) * N;
        float gate[N], up[N];
        get<N>(packed + row * 2 * ffn + at, gate);
        get<N>(packed + row * 2 * ffn + ffn + at, up);
#pragma unroll
        for (int j = 0; j < N; j++) up[j] *= gate[j] * sigmoid(gate[j]);
        put<N>(hidden + row * ffn + at, up);
    }
}

template <int N> __device__ void swiglu_backward(bf16 *packed, bf16 *dhidden, u32 ffn, u64 pieces) {
    for (u64 i = u64(blockIdx.x) * blockDim.x + threadIdx.x; i < pieces;
         i += u64(gridDim.x) * blockDim.x) {
        const u64 row = i / (ffn / N), at = i % (ffn / N) * N;
        bf16 *gates = packed + row * 2 * ffn + at, *ups = gates + ffn;
        bf16 *hidden = dhidden + row * ffn + at;
        float gate[N], up[N], d[N];
        get<N>(gates, gate);
        get<N>(ups, up);
        get<N>(hidden, d);
#pragma unroll
        for (int j = 0; j < N; j++) {
            const float share = sigmoid(gate[j]), silu = gate[j] * share, dh = d[j];
            d[j] = silu * up[j];
            gate[j] = dh * up[j] * (share * (1 - silu) + silu);
            up[j] = dh * silu;
        }
        put<N>(hidden, d);
        put<N>(gates, gate);
        put<N>(ups, up);
    }
}

#define SWIGLU(N)                                                                                 \
    extern "C" __global__ void swiglu_##N(const bf16 *packed, bf16 *hidden, u32 ffn,              \
                                          u64 pieces) {                                           \
        swiglu<N>(packed, hidden, ffn, pieces);                                                   \
    }                                                                                             \
    extern "C" __global__ void swiglu_backward_##N(bf16 *packed, bf16 *dhidden, u32 ffn,          \
                                                   u64 pieces) {                                  \
        swiglu_backward<N>(packed, dhidden, ffn, pieces);                                         \
    }

SWIGLU(8)
SWIGLU(1)
