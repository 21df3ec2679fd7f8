// Runs the CUDA kernels on the CPU, for tests on machines without a GPU: every CUDA thread is a fiber, blocks run one
// after another, __syncthreads and the warp's collectives are barriers. Slow and deterministic; shows no races.
#pragma once
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
using std::abs;
using std::isfinite;
using std::max;
using std::min;

struct dim3 { unsigned x = 1, y = 1, z = 1; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) int4 { int x, y, z, w; };
static inline float2 make_float2(float a, float b) { return {a, b}; }
static inline float4 make_float4(float a, float b, float c, float d) { return {a, b, c, d}; }
static inline int4 make_int4(int a, int b, int c, int d) { return {a, b, c, d}; }
#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __restrict__
static dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulator {
const int LARGEST_BLOCK = 256, STACK_BYTES = 1 << 16, BLOCK_BARRIER = LARGEST_BLOCK / 32;
struct Fiber { ucontext_t start; jmp_buf here; bool started, done; };
static Fiber fibers[LARGEST_BLOCK];
static jmp_buf host;
static int current, threads;
static int arrived[BLOCK_BARRIER + 1], generation[BLOCK_BARRIER + 1], alive[BLOCK_BARRIER + 1];
static uint64_t slots[LARGEST_BLOCK];
static void (*body)(void*);
static void* argument;

static void leave() {  // jumps without a system call; swapcontext makes two
    int self = current;
    if (!_setjmp(fibers[self].here)) _longjmp(host, 1);
    threadIdx.x = self;
}
static void barrier(int which) {
    int seen = generation[which];
    if (++arrived[which] == alive[which]) {
        arrived[which] = 0;
        generation[which]++;
        return;
    }
    while (generation[which] == seen) leave();
}
static void retire() {  // a thread that returned is no longer waited for
    int barriers[2] = {current / 32, BLOCK_BARRIER};
    for (int b : barriers)
        if (--alive[b] && arrived[b] == alive[b]) {
            arrived[b] = 0;
            generation[b]++;
        }
}
static void live() {  // a fiber lives for ever and runs one thread of each block
    for (;;) {
        body(argument);
        retire();
        fibers[current].done = true;
        leave();
    }
}
static void resume(int i) {
    current = i;
    threadIdx.x = i;
    if (_setjmp(host)) return;
    Fiber& f = fibers[i];
    if (f.started) _longjmp(f.here, 1);
    f.started = true;
    getcontext(&f.start);
    f.start.uc_stack.ss_sp = malloc(STACK_BYTES);
    f.start.uc_stack.ss_size = STACK_BYTES;
    f.start.uc_link = 0;
    makecontext(&f.start, live, 0);
    setcontext(&f.start);
}
static void run_block() {
    memset(arrived, 0, sizeof arrived);
    memset(alive, 0, sizeof alive);
    for (int i = 0; i < threads; i++) {
        alive[i / 32]++;
        alive[BLOCK_BARRIER]++;
        fibers[i].done = false;
    }
    for (bool busy = true; busy;) {
        busy = false;
        for (int i = 0; i < threads; i++)
            if (!fibers[i].done) {
                resume(i);
                busy |= !fibers[i].done;
            }
    }
}
template <class T> static uint64_t bits(T value) {
    uint64_t raw = 0;
    memcpy(&raw, &value, sizeof value);
    return raw;
}
template <class T> static T exchange(T value, int source) {
    int warp = current / 32;
    slots[current] = bits(value);
    barrier(warp);
    T result;
    memcpy(&result, &slots[warp * 32 + source], sizeof result);
    barrier(warp);
    return result;
}
template <class Test> static unsigned vote(uint64_t value, Test test) {
    int warp = current / 32;
    slots[current] = value;
    barrier(warp);
    unsigned mask = 0;
    for (int i = 0; i < 32; i++) mask |= (unsigned)test(slots[warp * 32 + i]) << i;
    barrier(warp);
    return mask;
}
template <class... A, size_t... I> static void call(void (*f)(A...), void** a, std::index_sequence<I...>) { f(*(A*)a[I]...); }
template <class... A> static void launch(void (*f)(A...), const int* grid, int block, void** arguments) {
    struct Call { void (*f)(A...); void** arguments; } call_of{f, arguments};
    body = [](void* c) { call(((Call*)c)->f, ((Call*)c)->arguments, std::index_sequence_for<A...>{}); };
    argument = &call_of;
    threads = block;
    if (block > LARGEST_BLOCK || block % 32) abort();
    blockDim.x = block;
    gridDim.x = grid[0]; gridDim.y = grid[1]; gridDim.z = grid[2];
    for (int z = 0; z < grid[2]; z++)
        for (int y = 0; y < grid[1]; y++)
            for (int x = 0; x < grid[0]; x++) {
                blockIdx.x = x; blockIdx.y = y; blockIdx.z = z;
                run_block();
            }
}
}  // namespace emulator

#define __syncthreads() emulator::barrier(emulator::BLOCK_BARRIER)
template <class T> static T __shfl_sync(unsigned, T v, int source) { return emulator::exchange(v, source & 31); }
template <class T> static T __shfl_up_sync(unsigned, T v, int step) {
    int lane = emulator::current & 31;
    return emulator::exchange(v, lane >= step ? lane - step : lane);
}
template <class T> static T __shfl_xor_sync(unsigned, T v, int mask) { return emulator::exchange(v, (emulator::current & 31) ^ mask); }
static unsigned __ballot_sync(unsigned, int p) { return emulator::vote(p != 0, [](uint64_t s) { return s != 0; }); }
static int __any_sync(unsigned mask, int p) { return __ballot_sync(mask, p) != 0; }
template <class T> static unsigned __match_any_sync(unsigned, T v) {
    uint64_t own = emulator::bits(v);
    return emulator::vote(own, [=](uint64_t s) { return s == own; });
}
static inline int __ffs(unsigned v) { return __builtin_ffs((int)v); }
static inline int __popc(unsigned v) { return __builtin_popcount(v); }
static inline unsigned __float_as_uint(float f) { unsigned u; memcpy(&u, &f, 4); return u; }
static inline float __int_as_float(int i) { float f; memcpy(&f, &i, 4); return f; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
template <class T, class U> static T atomicAdd(T* p, U v) { T old = *p; *p = old + (T)v; return old; }
static inline unsigned long long atomicMin(unsigned long long* p, unsigned long long v) { auto old = *p; *p = min(old, v); return old; }
static inline unsigned long long atomicCAS(unsigned long long* p, unsigned long long expected, unsigned long long v) {
    auto old = *p;
    if (old == expected) *p = v;
    return old;
}
