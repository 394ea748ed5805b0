// Numbers as the host has them, f32, to and from the arena's formats.

#define EACH(i, count)                                                                            \
    for (u64 i = u64(blockIdx.x) * blockDim.x + threadIdx.x; i < count;                           \
         i += u64(gridDim.x) * blockDim.x)

extern "C" __global__ void narrow_all(const float *from, bf16 *to, u64 count) {
    EACH(i, count) to[i] = narrow(from[i]);
}

extern "C" __global__ void widen_all(const bf16 *from, float *to, u64 count) {
    EACH(i, count) to[i] = widen(from[i]);
}

extern "C" __global__ void split_all(const float *from, bf16 *high, bf16 *low, u64 count) {
    EACH(i, count) split(from[i], high[i], low[i]);
}

extern "C" __global__ void join_all(const bf16 *high, const bf16 *low, float *to, u64 count) {
    EACH(i, count) to[i] = join(high[i], low[i]);
}
