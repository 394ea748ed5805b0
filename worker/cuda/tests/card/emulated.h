// What kernels/primitives.cuh has, and what CUDA has, in C++ on a CPU: one block at a time, each of its threads a
// fiber that goes on until it must wait for others.
//
// It is stricter than a card: copies and products of warpgroups happen when they are waited for and not before, and
// shared memory is full of NaN where a block begins, so that whoever reads too early reads what is wrong.

#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <tuple>
#include <type_traits>
#include <ucontext.h>
#include <vector>

typedef unsigned short bf16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static
#define SHARED(type, name) type *const name = reinterpret_cast<type *>(emulated::shared)

struct uint4 { u32 x, y, z, w; };
struct float4 { float x, y, z, w; };
struct ushort4 { unsigned short x, y, z, w; };
struct dim3 { u32 x, y, z; };
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline ushort4 make_ushort4(bf16 x, bf16 y, bf16 z, bf16 w) { return {x, y, z, w}; }

// Not static: nothing may be remembered of them across a wait.
dim3 threadIdx, blockIdx, blockDim, gridDim;

template <typename A, typename B> auto min(A a, B b) { return a < b ? a : b; }
template <typename A, typename B> auto max(A a, B b) { return a < b ? b : a; }

inline float __uint_as_float(u32 bits) { float value; memcpy(&value, &bits, 4); return value; }
inline u32 __float_as_uint(float value) { u32 bits; memcpy(&bits, &value, 4); return bits; }
inline float __expf(float x) { return expf(x); }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }

namespace emulated {

constexpr int WARP = 32, SHARED_BYTES = 227 << 10, STACK = 256 << 10;
alignas(1024) static unsigned char shared[SHARED_BYTES];

// Those who wait for each other: each goes on once all have come.
struct Gate {
    u32 expected = 0, arrived = 0, generation = 0;
};

// What lanes of a warp show each other, in turns of two: nobody is two exchanges ahead.
struct Shown {
    u32 words[8];
};

struct Copy {
    u32 to;
    const void *from;
    int bytes;
    bool is_there;
};

// A product of a warpgroup: c += a b, with a in shared memory or in registers.
struct Product {
    float *c;
    int columns;
    bool is_shared, is_sum;
    u64 a, b;
    u32 registers[4];
};

struct Fiber {
    ucontext_t context;
    jmp_buf place;
    std::vector<unsigned char> stack;
    bool has_begun = false, is_done;
    const Gate *gate;
    u32 generation;
    u32 turn;
    std::vector<Copy> copies;
    // between `begin` and `end` each
    std::vector<std::vector<Product>> groups;
};

static std::deque<Fiber> fibers;
static std::vector<Gate> warps;
static std::vector<Shown> exchanged[2];
static Gate block;
static u32 own;
static jmp_buf scheduler;
static ucontext_t base;
static std::function<void()> body;
// A thread that runs without a fiber, since the first of its block never waited.
static bool is_alone, has_waited;

inline void wait(Gate &gate) {
    if (is_alone) {
        fprintf(stderr, "thread %u of block (%u, %u, %u) waits, and another did not\n", own, blockIdx.x,
                blockIdx.y, blockIdx.z);
        abort();
    }
    has_waited = true;
    Fiber &fiber = fibers[own];
    if (++gate.arrived == gate.expected) {
        gate.arrived = 0;
        gate.generation++;
        return;
    }
    fiber.gate = &gate;
    fiber.generation = gate.generation;
    if (_setjmp(fiber.place) == 0) _longjmp(scheduler, 1);
}

// All lanes show something; returns what they showed.
inline const Shown *exchange(const Shown &mine) {
    const u32 turn = fibers[own].turn++ % 2, warp = own / WARP;
    exchanged[turn][own] = mine;
    wait(warps[warp]);
    return &exchanged[turn][warp * WARP];
}

// A thread, and then that of the next block in its place.
inline void enter() {
    for (;;) {
        body();
        fibers[own].is_done = true;
        // whoever has ended is not waited for
        for (Gate *gate : {&warps[own / WARP], &block}) {
            gate->expected--;
            if (gate->expected != 0 && gate->arrived == gate->expected) {
                gate->arrived = 0;
                gate->generation++;
            }
        }
        if (_setjmp(fibers[own].place) == 0) _longjmp(scheduler, 1);
    }
}

inline void run_block(u32 threads, u32 shared_bytes) {
    memset(shared, 0xff, shared_bytes);
    if (fibers.size() < threads) fibers.resize(threads);
    warps.assign((threads + WARP - 1) / WARP, Gate{});
    for (u32 warp = 0; warp < warps.size(); warp++)
        warps[warp].expected = std::min<u32>(WARP, threads - warp * WARP);
    for (auto &turn : exchanged) turn.resize(warps.size() * WARP);
    block = Gate{threads, 0, 0};
    for (u32 i = 0; i < threads; i++) {
        Fiber &fiber = fibers[i];
        fiber.stack.resize(STACK);
        fiber.is_done = false;
        fiber.gate = nullptr;
        fiber.turn = 0;
        fiber.copies.clear();
        fiber.groups.clear();
    }
    // threads are asked in order and in reverse, by turns: whoever does not wait reads too early in one of them
    static bool is_reverse;
    is_reverse = !is_reverse;
    // volatile: this function is left and entered again by jumps
    volatile u32 left = threads;
    has_waited = false;
    volatile u32 next = 0;
    while (left != 0) {
        own = is_reverse ? threads - 1 - next : next;
        next = (next + 1) % threads;
        Fiber &fiber = fibers[own];
        if (fiber.is_done || (fiber.gate && fiber.gate->generation == fiber.generation)) continue;
        fiber.gate = nullptr;
        threadIdx = {own, 0, 0};
        if (_setjmp(scheduler) == 0) {
            if (fiber.has_begun) _longjmp(fiber.place, 1);
            fiber.has_begun = true;
            getcontext(&fiber.context);
            fiber.context.uc_stack.ss_sp = fiber.stack.data();
            fiber.context.uc_stack.ss_size = STACK;
            fiber.context.uc_link = nullptr;
            makecontext(&fiber.context, enter, 0);
            setcontext(&fiber.context);
        }
        if (!fibers[own].is_done) continue;
        left = left - 1;
        if (has_waited) continue;
        is_alone = true;
        for (u32 i = 0; i < threads; i++) {
            if (fibers[i].is_done) continue;
            own = i;
            threadIdx = {own, 0, 0};
            body();
        }
        is_alone = false;
        return;
    }
}

template <typename... A, size_t... I>
void launch(void (*kernel)(A...), const u32 *grid, u32 threads, u32 shared_bytes, void *const *arguments,
            std::index_sequence<I...>) {
    const std::tuple<std::decay_t<A>...> all(*static_cast<std::decay_t<A> *>(arguments[I])...);
    body = [=] { std::apply(kernel, all); };
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {threads, 1, 1};
    for (u32 z = 0; z < grid[2]; z++)
        for (u32 y = 0; y < grid[1]; y++)
            for (u32 x = 0; x < grid[0]; x++) {
                blockIdx = {x, y, z};
                run_block(threads, shared_bytes);
            }
}

template <typename... A>
void launch(void (*kernel)(A...), const u32 *grid, u32 threads, u32 shared_bytes, void *const *arguments) {
    launch(kernel, grid, threads, shared_bytes, arguments, std::index_sequence_for<A...>{});
}

// Halves of a word, as bf16.
inline float low(u32 word) { return __uint_as_float(word << 16); }
inline float high(u32 word) { return __uint_as_float(word & 0xffff0000u); }

} // namespace emulated

inline void __syncthreads() { emulated::wait(emulated::block); }

template <typename T> T __shfl_xor_sync(u32, T value, int mask) {
    emulated::Shown mine = {};
    memcpy(mine.words, &value, sizeof(T));
    const auto *all = emulated::exchange(mine);
    memcpy(&value, all[(emulated::own % emulated::WARP) ^ mask].words, sizeof(T));
    return value;
}

inline bf16 narrow(float value) {
    const u32 bits = __float_as_uint(value);
    if (value != value) return 0x7fff;
    return bf16((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline u32 narrow2(float low, float high) { return u32(narrow(high)) << 16 | narrow(low); }
inline float power_of_two(float x) { return exp2f(x); }

// From where tiles lie.
inline u32 address(const void *at) { return u32(static_cast<const unsigned char *>(at) - emulated::shared); }
inline unsigned char *at_address(u32 address) { return emulated::shared + int32_t(address); }

template <int BYTES> void copy(u32 to, const void *from, bool is_there) {
    emulated::fibers[emulated::own].copies.push_back({to, from, BYTES, is_there});
}

inline void await_copies() {
    auto &copies = emulated::fibers[emulated::own].copies;
    for (const auto &copy : copies) {
        if (copy.is_there) memcpy(at_address(copy.to), copy.from, copy.bytes);
        else memset(at_address(copy.to), 0, copy.bytes);
    }
    copies.clear();
}

template <bool IS_TURNED> void load_matrices(u32 (&r)[4], const bf16 *at) {
    emulated::Shown mine = {};
    memcpy(mine.words, &at, sizeof(at));
    const auto *all = emulated::exchange(mine);
    const int lane = emulated::own % emulated::WARP;
    const auto number = [&](int matrix, int row, int column) -> u32 {
        const bf16 *begin;
        memcpy(&begin, all[8 * matrix + row].words, sizeof(begin));
        return begin[column];
    };
    for (int matrix = 0; matrix < 4; matrix++) {
        const int one = lane / 4, two = lane % 4 * 2;
        r[matrix] = IS_TURNED ? number(matrix, two, one) | number(matrix, two + 1, one) << 16
                              : number(matrix, one, two) | number(matrix, one, two + 1) << 16;
    }
}
inline void load(u32 (&r)[4], const bf16 *at) { load_matrices<false>(r, at); }
inline void load_turned(u32 (&r)[4], const bf16 *at) { load_matrices<true>(r, at); }

// A warp's fragments as PTX lays them out for m16n8k16.
inline void multiply(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    const auto *all = emulated::exchange({{a[0], a[1], a[2], a[3], b0, b1}});
    const int lane = emulated::own % emulated::WARP;
    for (int i = 0; i < 4; i++) {
        const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        for (int k = 0; k < 16; k += 2) {
            const u32 left = all[row % 8 * 4 + k % 8 / 2].words[row / 8 + k / 8 * 2];
            const u32 right = all[column * 4 + k % 8 / 2].words[4 + k / 8];
            c[i] += emulated::low(left) * emulated::low(right) + emulated::high(left) * emulated::high(right);
        }
    }
}

#if WARPGROUPS
// A number in shared memory, by a matrix descriptor with stripes of 128 bytes: 16 bytes are turned by the row's place
// among eight. `inner` is summed over.
inline float described(u64 of, int outer, int inner, bool is_turned) {
    const u32 begin = (of & 0x3fff) << 4, leading = (of >> 16 & 0x3fff) << 4, stride = (of >> 32 & 0x3fff) << 4;
    u32 at = is_turned ? begin + outer / 64 * leading + inner / 8 * stride + inner % 8 * 128 + outer % 64 * 2
                       : begin + outer / 8 * stride + outer % 8 * 128 + inner * 2;
    at ^= (at >> 7 & 7) << 4;
    bf16 bits;
    memcpy(&bits, emulated::shared + at, sizeof(bits));
    return __uint_as_float(u32(bits) << 16);
}

inline void begin() { emulated::fibers[emulated::own].groups.emplace_back(); }
inline void end() {}
inline void hold(float &) {}
inline void show_stores() {}

template <int N> void multiply(float (&c)[N][4], u64 a, u64 b, int is_sum) {
    emulated::fibers[emulated::own].groups.back().push_back({&c[0][0], 8 * N, true, is_sum != 0, a, b, {}});
}
template <int N> void multiply(float (&c)[N][4], const u32 (&a)[4], u64 b) {
    emulated::fibers[emulated::own].groups.back().push_back(
        {&c[0][0], 8 * N, false, true, 0, b, {a[0], a[1], a[2], a[3]}});
}

template <int LATER> void await_products() {
    auto &groups = emulated::fibers[emulated::own].groups;
    while (groups.size() > LATER) {
        const int lane = emulated::own % emulated::WARP, warp = emulated::own / emulated::WARP % 4;
        for (const auto &product : groups.front()) {
            const auto &r = product.registers;
            const auto *all = emulated::exchange({{r[0], r[1], r[2], r[3]}});
            for (int half = 0; half < 2; half++) {
                const int row = lane / 4 + half * 8;
                float left[16];
                for (int k = 0; k < 16; k++) {
                    const u32 word = all[row % 8 * 4 + k % 8 / 2].words[row / 8 + k / 8 * 2];
                    left[k] = product.is_shared ? described(product.a, 16 * warp + row, k, false)
                              : k % 2           ? emulated::high(word)
                                                : emulated::low(word);
                }
                for (int i = 0; i < product.columns / 4; i++) {
                    const int column = i / 2 * 8 + lane % 4 * 2 + i % 2;
                    float &c = product.c[i / 2 * 4 + 2 * half + i % 2];
                    float sum = product.is_sum ? c : 0;
                    for (int k = 0; k < 16; k++)
                        sum += left[k] * described(product.b, column, k, !product.is_shared);
                    c = sum;
                }
            }
        }
        groups.erase(groups.begin());
    }
}
#endif
