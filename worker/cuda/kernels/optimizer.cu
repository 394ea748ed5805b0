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
            m[j] = by.beta1 * m[j] + by.beta1_rest * grad;
            v[j] = by.beta2 * v[j] + by.beta2_rest * grad * grad;
            const float direction = m[j] * by.first / (sqrtf(v[j] * by.second) + by.eps);
            const float keep = at + j < decayed ? by.keep : 1;
            const float after = before * keep - by.lr * direction;
            split(after, h[j], l[j]);
            of_weights += after * after;
            of_update += (after - before) * (after - before);
        }
        weights += of_weights;
        update += of_update;
        *highs = make_ushort4(h[0], h[1], h[2], h[3]);
        *lows = make_ushort4(l[0], l[1], l[2], l[3]);
        *m4 = make_float4(m[0], m[1], m[2], m[3]);
        *v4 = make_float4(v[0], v[1], v[2], v[3]);
        *g4 = make_float4(0, 0, 0, 0);
    }
    weights = sum_of_block(weights);
    update = sum_of_block(update);
    if (threadIdx.x == 0) {
        partial[2 * blockIdx.x] = weights;
        partial[2 * blockIdx.x + 1] = update;
    }
}
