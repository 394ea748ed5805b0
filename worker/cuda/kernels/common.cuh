// What every kernel file begins with. There are no headers: NVRTC alone compiles this.

#define INFINITE __uint_as_float(0x7f800000u)

__device__ __forceinline__ float widen(bf16 bits) { return __uint_as_float(u32(bits) << 16); }

__device__ __forceinline__ void add(float &to, float value) { to += value; }
__device__ __forceinline__ void add(bf16 &to, float value) { to = narrow(widen(to) + value); }

// N neighbors at once: 8 of bf16 are 16 bytes, the widest access there is.
template <int N> __device__ __forceinline__ void get(const bf16 *from, float (&values)[N]);
template <int N> __device__ __forceinline__ void put(bf16 *to, const float (&values)[N]);

template <> __device__ __forceinline__ void get<1>(const bf16 *from, float (&values)[1]) {
    values[0] = widen(*from);
}

template <> __device__ __forceinline__ void put<1>(bf16 *to, const float (&values)[1]) {
    *to = narrow(values[0]);
}

template <> __device__ __forceinline__ void get<8>(const bf16 *from, float (&values)[8]) {
    const uint4 all = *reinterpret_cast<const uint4 *>(from);
    const u32 pairs[4] = {all.x, all.y, all.z, all.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        values[2 * i] = __uint_as_float(pairs[i] << 16);
        values[2 * i + 1] = __uint_as_float(pairs[i] & 0xffff0000u);
    }
}

template <> __device__ __forceinline__ void put<8>(bf16 *to, const float (&values)[8]) {
    uint4 all;
    all.x = narrow2(values[0], values[1]);
    all.y = narrow2(values[2], values[3]);
    all.z = narrow2(values[4], values[5]);
    all.w = narrow2(values[6], values[7]);
    *reinterpret_cast<uint4 *>(to) = all;
}

// A master weight is its bf16 neighbor and what the bits of the f32 lie above or below it: bits =
// high * 2^16 + low. Ties go away from zero; the sum gives back every finite f32.
__device__ __forceinline__ float join(bf16 high, bf16 low) {
    return __uint_as_float((u32(high) << 16) + u32(int(short(low))));
}

__device__ __forceinline__ void split(float value, bf16 &high, bf16 &low) {
    const u32 bits = __float_as_uint(value);
    high = bf16((bits + 0x8000u) >> 16);
    low = bf16(bits - (u32(high) << 16));
}

// Sums over a block come out the same every time: by lanes, then by warps. All threads get the sum.
template <typename T> __device__ __forceinline__ T sum_of_block(T value) {
    __shared__ T of_warps[32];
#pragma unroll
    for (int step = 16; 0 < step; step >>= 1) value += __shfl_xor_sync(0xffffffffu, value, step);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    __syncthreads();
    if (lane == 0) of_warps[warp] = value;
    __syncthreads();
    T sum = lane < warps ? of_warps[lane] : T(0);
#pragma unroll
    for (int step = 16; 0 < step; step >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    return sum;
}
