// Rotary positions (2104.09864), in place on the packed projections. One block a token.

template <int N>
__device__ void rope(bf16 *packed, const float *table, const u32 *positions, u32 columns, u32 heads,
                     u32 width, float sign) {
    const u32 half = width / 2, pieces = half / N;
    bf16 *row = packed + u64(blockIdx.x) * columns;
    const float *cosines = table + u64(positions[blockIdx.x]) * width, *sines = cosines + half;
    for (u32 i = threadIdx.x; i < heads * pieces; i += blockDim.x) {
        const u32 at = i % pieces * N;
        bf16 *low = row + i / pieces * width + at, *high = low + half;
        float x[N], y[N];
        get<N>(low, x);
        get<N>(high, y);
#pragma unroll
        for (int j = 0; j < N; j++) {
            const float cosine = cosines[at + j], sine = sign * sines[at + j];
            const float turned = x[j] * cosine - y[j] * sine;
            y[j] = y[j] * cosine + x[j] * sine;
            x[j] = turned;
        }
        put<N>(low, x);
        put<N>(high, y);
    }
}

extern "C" __global__ void rope_8(bf16 *packed, const float *table, const u32 *positions,
                                  u32 columns, u32 heads, u32 width, float sign) {
    rope<8>(packed, table, positions, columns, heads, width, sign);
}

extern "C" __global__ void rope_1(bf16 *packed, const float *table, const u32 *positions,
                                  u32 columns, u32 heads, u32 width, float sign) {
    rope<1>(packed, table, positions, columns, heads, width, sign);
}
