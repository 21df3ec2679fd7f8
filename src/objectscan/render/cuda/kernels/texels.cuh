// Gradients of bilinear lookups: many lanes add to the same four texels.
#pragma once
#include "common.cuh"

#define TAPS 4
#define CHANNELS_AT_ONCE 4  // x 4 taps: the 16 values of one sum over a warp

// Adds value[4 tap + c] to gradient[row[tap] * channels + begin + c] for c < here. Lanes of a group have the same rows
// and the same gradient array; a negative row is no texel. All lanes of the warp must call it.
__device__ __forceinline__ void scatter_texels(const Groups& groups, const float (&value)[16], const int (&row)[TAPS], float* gradient,
                                               int channels, int begin, int here) {
    int lane = threadIdx.x & 31, tap = (lane >> 2) & 3, channel = lane & 3;
    for (u32 todo = groups.leaders; todo; todo &= todo - 1) {
        int leader = __ffs(todo) - 1;
        bool mine = (__shfl_sync(ALL_LANES, groups.peers, leader) >> lane) & 1;
        float masked[16];
#pragma unroll
        for (int k = 0; k < 16; k++) masked[k] = mine ? value[k] : 0.f;
        float sum = sum_sixteen(masked);
        int target = 0;
#pragma unroll
        for (int k = 0; k < TAPS; k++) {
            int of_leader = __shfl_sync(ALL_LANES, row[k], leader);
            if (k == tap) target = of_leader;
        }
        float* array = (float*)__shfl_sync(ALL_LANES, (u64)gradient, leader);
        if (lane < 16 && channel < here && target >= 0 && sum != 0.f) atomicAdd(array + (i64)target * channels + begin + channel, sum);
    }
    if (!groups.alone) return;
#pragma unroll
    for (int k = 0; k < 16; k++) {
        int target = row[k >> 2];
        if ((k & 3) < here && target >= 0 && value[k] != 0.f) atomicAdd(gradient + (i64)target * channels + begin + (k & 3), value[k]);
    }
}
