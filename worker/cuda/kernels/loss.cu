// Cross-entropy with the z-loss, in place on a chunk of logits; and log-likelihoods. One block a token.

// How a target that is not scored is written.
constexpr u32 IGNORED = 0xffffffffu;

// ln of the sum of e^logit over a row: every thread carries its largest logit and its sum, relative to
// that, and they are brought together in one order.
__device__ float log_partition(const float *row, u32 vocabulary) {
    float top = -INFINITE, sum = 0;
    for (u32 at = threadIdx.x; at < vocabulary; at += blockDim.x) {
        const float logit = row[at];
        if (logit <= top) {
            sum += __expf(logit - top);
        } else {
            sum = sum * __expf(top - logit) + 1;
            top = logit;
        }
        // a logit that is none makes the sum none
        if (logit != logit) sum = logit;
    }
    __shared__ float tops[32];
    float all = top;
#pragma unroll
    for (int step = 16; 0 < step; step >>= 1)
        all = fmaxf(all, __shfl_xor_sync(0xffffffffu, all, step));
    const int lane = threadIdx.x % 32;
    if (lane == 0) tops[threadIdx.x / 32] = all;
    __syncthreads();
    all = lane < blockDim.x / 32 ? tops[lane] : -INFINITE;
#pragma unroll
    for (int step = 16; 0 < step; step >>= 1)
        all = fmaxf(all, __shfl_xor_sync(0xffffffffu, all, step));
    const float share = top == -INFINITE ? sum : sum * __expf(top - all);
    return all + logf(sum_of_block(share));
}

// The gradient goes to the front half of its row, as bf16: a row's logits are 4 bytes each, and what is
// written has been read. `found` gets nats and the squared log-partition of each token.
extern "C" __global__ void cross_entropy(float *logits, const u32 *targets, float *found,
                                         u32 vocabulary, float weight, float z_weight) {
    float *row = logits + u64(blockIdx.x) * vocabulary;
    bf16 *gradient = reinterpret_cast<bf16 *>(row);
    const u32 target = targets[blockIdx.x];
    if (target == IGNORED) {
        for (u32 at = threadIdx.x; at < vocabulary; at += blockDim.x) gradient[at] = 0;
        if (threadIdx.x == 0) found[2 * blockIdx.x] = found[2 * blockIdx.x + 1] = 0;
        return;
    }
    const float own = row[target];
    const float partition = log_partition(row, vocabulary);
    const float by = weight + 2 * z_weight * partition;
    for (u32 begin = 0; begin < vocabulary; begin += blockDim.x) {
        const u32 at = begin + threadIdx.x;
        const float logit = at < vocabulary ? row[at] : 0;
        __syncthreads();
        if (at < vocabulary)
            gradient[at] = narrow(by * __expf(logit - partition) - (at == target ? weight : 0));
    }
    if (threadIdx.x == 0) {
        found[2 * blockIdx.x] = partition - own;
        found[2 * blockIdx.x + 1] = partition * partition;
    }
}

extern "C" __global__ void log_likelihoods(const float *logits, const u32 *targets, float *out,
                                           u32 vocabulary) {
    const float *row = logits + u64(blockIdx.x) * vocabulary;
    const u32 target = targets[blockIdx.x];
    if (target == IGNORED) {
        if (threadIdx.x == 0) out[blockIdx.x] = 0;
        return;
    }
    const float partition = log_partition(row, vocabulary);
    if (threadIdx.x == 0) out[blockIdx.x] = row[target] - partition;
}

// One block: adds what was found of a chunk to two sums.
extern "C" __global__ void add_losses(const float *found, double *losses, u32 tokens) {
    double nats = 0, z = 0;
    for (u32 at = threadIdx.x; at < tokens; at += blockDim.x) {
        nats += found[2 * at];
        z += found[2 * at + 1];
    }
    nats = sum_of_block(nats);
    z = sum_of_block(z);
    if (threadIdx.x == 0) {
        losses[0] += nats;
        losses[1] += z;
    }
}
