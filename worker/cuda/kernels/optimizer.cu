// AdamW (1711.05101) over all parameters at once, and norms. Each block leaves its sums in `partial`, and one
// block adds these up.

extern "C" __global__ void square(const float *values, double *partial, u64 count) {
    double sum = 0;
    for (u64 at = u64(blockIdx.x) * blockDim.x + threadIdx.x; at < count;
         at += u64(gridDim.x) * blockDim.x)
        sum += double(values[at]) * values[at];
    sum = sum_of_block(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

extern "C" __global__ void square_narrow(const bf16 *values, double *partial, u64 count) {
    double sum = 0;
    for (u64 at = u64(blockIdx.x) * blockDim.x + threadIdx.x; at < count;
         at += u64(gridDim.x) * blockDim.x) {
        const double value = widen(values[at]);
        sum += value * value;
    }
    sum = sum_of_block(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

extern "C" __global__ void square_joined(const bf16 *high, const bf16 *low, double *partial,
                                         u64 count) {
    double sum = 0;
    for (u64 at = u64(blockIdx.x) * blockDim.x + threadIdx.x; at < count;
         at += u64(gridDim.x) * blockDim.x) {
        const double value = join(high[at], low[at]);
        sum += value * value;
    }
    sum = sum_of_block(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// One block: `sums` gets the sums of `each` columns of `partial`.
extern "C" __global__ void add_up(const double *partial, double *sums, u32 rows, u32 each) {
    for (u32 column = 0; column < each; column++) {
        double sum = 0;
        for (u32 row = threadIdx.x; row < rows; row += blockDim.x) sum += partial[row * each + column];
        sum = sum_of_block(sum);
        if (threadIdx.x == 0) sums[column] = sum;
    }
}

struct Factors {
    float grad, beta1, beta1_rest, beta2, beta2_rest, first, second, eps, keep, lr;
};

__device__ __forceinline__ float after(float before, float grad, float &m, float &v, bool is_decayed,
                                       const Factors &by) {
    m = by.beta1 * m + by.beta1_rest * grad;
    v = by.beta2 * v + by.beta2_rest * grad * grad;
    const float direction = m * by.first / (sqrtf(v * by.second) + by.eps);
    return before * (is_decayed ? by.keep : 1) - by.lr * direction;
}

// Two sums of a block, to its place among all blocks'.
__device__ __forceinline__ void leave(double *partial, double weights, double update) {
    weights = sum_of_block(weights);
    update = sum_of_block(update);
    if (threadIdx.x == 0) {
        partial[2 * blockIdx.x] = weights;
        partial[2 * blockIdx.x + 1] = update;
    }
}

// Four neighbors a thread: 16 bytes of each f32, 8 of each half.
extern "C" __global__ void adamw(bf16 *high, bf16 *low, float *grads, float *first, float *second,
                                 double *partial, u64 count, u64 decayed, Factors by) {
    double weights = 0, update = 0;
    for (u64 at = 4 * (u64(blockIdx.x) * blockDim.x + threadIdx.x); at < count;
         at += 4 * u64(gridDim.x) * blockDim.x) {
        ushort4 *highs = reinterpret_cast<ushort4 *>(high + at);
        ushort4 *lows = reinterpret_cast<ushort4 *>(low + at);
        float4 *g4 = reinterpret_cast<float4 *>(grads + at);
        float4 *m4 = reinterpret_cast<float4 *>(first + at);
        float4 *v4 = reinterpret_cast<float4 *>(second + at);
        const ushort4 hs = *highs, ls = *lows;
        const float4 gs = *g4, ms = *m4, vs = *v4;
        bf16 h[4] = {hs.x, hs.y, hs.z, hs.w}, l[4] = {ls.x, ls.y, ls.z, ls.w};
        const float g[4] = {gs.x, gs.y, gs.z, gs.w};
        float m[4] = {ms.x, ms.y, ms.z, ms.w}, v[4] = {vs.x, vs.y, vs.z, vs.w};
        float of_weights = 0, of_update = 0;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const float grad = g[j] * by.grad, before = join(h[j], l[j]);
            const float value = after(before, grad, m[j], v[j], at + j < decayed, by);
            split(value, h[j], l[j]);
            of_weights += value * value;
            of_update += (value - before) * (value - before);
        }
        weights += of_weights;
        update += of_update;
        *highs = make_ushort4(h[0], h[1], h[2], h[3]);
        *lows = make_ushort4(l[0], l[1], l[2], l[3]);
        *m4 = make_float4(m[0], m[1], m[2], m[3]);
        *v4 = make_float4(v[0], v[1], v[2], v[3]);
        *g4 = make_float4(0, 0, 0, 0);
    }
    leave(partial, weights, update);
}

// 64 bits that look random, the same for the same update and parameter: SplitMix64 (Steele, Lea, Flood 2014).
__device__ __forceinline__ u64 chance(u64 update, u64 at) {
    u64 bits = update * 0x9e3779b97f4a7c15ull + at;
    bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9ull;
    bits = (bits ^ bits >> 27) * 0x94d049bb133111ebull;
    return bits ^ bits >> 31;
}

// To one of the two neighbors, with 16 bits of chance: the nearer a neighbor, the likelier.
__device__ __forceinline__ bf16 narrow_by_chance(float value, u64 bits) {
    return bf16((__float_as_uint(value) + (u32(bits) & 0xffff)) >> 16);
}

// Without masters, all in bf16: eight neighbors a thread, 16 bytes of each.
extern "C" __global__ void adamw_by_chance(bf16 *values, bf16 *grads, bf16 *first, bf16 *second,
                                           double *partial, u64 count, u64 decayed, Factors by,
                                           u64 updates) {
    double weights = 0, update = 0;
    for (u64 at = 8 * (u64(blockIdx.x) * blockDim.x + threadIdx.x); at < count;
         at += 8 * u64(gridDim.x) * blockDim.x) {
        float w[8], g[8], m[8], v[8];
        get<8>(values + at, w);
        get<8>(grads + at, g);
        get<8>(first + at, m);
        get<8>(second + at, v);
        float of_weights = 0, of_update = 0;
#pragma unroll
        for (int j = 0; j < 8; j++) {
            const u64 bits = chance(updates, at + j);
            const float before = w[j];
            const float value = after(before, g[j] * by.grad, m[j], v[j], at + j < decayed, by);
            of_weights += value * value;
            of_update += (value - before) * (value - before);
            // what is rounded here comes out of `put` as it is
            w[j] = widen(narrow_by_chance(value, bits));
            m[j] = widen(narrow_by_chance(m[j], bits >> 16));
            v[j] = widen(narrow_by_chance(v[j], bits >> 32));
            g[j] = 0;
        }
        weights += of_weights;
        update += of_update;
        put<8>(values + at, w);
        put<8>(grads + at, g);
        put<8>(first + at, m);
        put<8>(second + at, v);
    }
    leave(partial, weights, update);
}
