// What all kernels share: types, the mapping of threads to pixels, sums over the lanes of a warp.
#pragma once

typedef unsigned long long u64;
typedef long long i64;
typedef unsigned int u32;

#define ALL_LANES 0xffffffffu
#define NOTHING 0xffffffffu  // low half of the key of a pixel that sees no triangle

// 8 x 4 pixels a warp, four warps side by side: threads of a warp mostly see the same triangles.
#define PIXELS_OF_BLOCK_X 32
#define PIXELS_OF_BLOCK_Y 4
#define PIXEL_X (blockIdx.x * PIXELS_OF_BLOCK_X + (threadIdx.x >> 5) * 8 + (threadIdx.x & 7))
#define PIXEL_Y (blockIdx.y * PIXELS_OF_BLOCK_Y + ((threadIdx.x >> 3) & 3))

// NDC coordinate of a pixel's centre. In double, as on the CPU: pixels of a 2048 px picture are 1e-3 apart, and
// what is left of a float after the subtraction would be wrong by 1e-5 of a triangle of three pixels.
__device__ __forceinline__ double centre(int i, int size) { return (2.0 * i + 1.0) / size - 1.0; }

// Rows of a triangle's corners; false if one of them doesn't exist.
__device__ __forceinline__ bool corners_of(const int* __restrict__ faces, i64 triangle, int rows, int (&corner)[3]) {
    corner[0] = faces[3 * triangle];
    corner[1] = faces[3 * triangle + 1];
    corner[2] = faces[3 * triangle + 2];
    return (u32)corner[0] < (u32)rows && (u32)corner[1] < (u32)rows && (u32)corner[2] < (u32)rows;
}

// --------------------------------------------------------------------------------- sums over a warp
// Gradients of many pixels go to few addresses. Lanes whose values belong together are summed first.

#ifndef SMALLEST_GROUP
#define SMALLEST_GROUP 10  // with fewer lanes the sum costs more than the atomics that it saves: 3 took 1.2 to 1.4 times as long
#endif

struct Groups {
    u32 leaders;  // one lane of each group that is large enough to be summed
    u32 peers;    // the lanes of this lane's group
    bool alone;   // this lane adds its values by itself
};

// Lanes with the same key form a group; a negative key takes no part. All lanes of the warp must call it.
__device__ __forceinline__ Groups group_lanes(i64 key, int smallest = SMALLEST_GROUP) {
    Groups groups;
    int lane = threadIdx.x & 31;
    groups.peers = __match_any_sync(ALL_LANES, (u64)key);
    bool large = __popc(groups.peers) >= smallest;
    groups.leaders = __ballot_sync(ALL_LANES, key >= 0 && large && lane == __ffs(groups.peers) - 1);
    groups.alone = key >= 0 && !large;
    return groups;
}

// Sums of 16 values over 32 lanes with 16 shuffles: lane l gets the sum of value l & 15. Each step keeps half of
// the values and gives the other half to the lane across.
// A template and not a loop: NVRTC left the loop over `HALF` rolled up, and the values in memory.
template <int HALF>
__device__ __forceinline__ void keep_half(float (&value)[16]) {
    bool upper = (threadIdx.x & HALF) != 0;
#pragma unroll
    for (int i = 0; i < HALF; i++) {
        float give = upper ? value[i] : value[i + HALF];
        float keep = upper ? value[i + HALF] : value[i];
        value[i] = keep + __shfl_xor_sync(ALL_LANES, give, HALF);
    }
}

__device__ __forceinline__ float sum_sixteen(float (&value)[16]) {
    keep_half<8>(value);
    keep_half<4>(value);
    keep_half<2>(value);
    keep_half<1>(value);
    return value[0] + __shfl_xor_sync(ALL_LANES, value[0], 16);
}

// Adds value[k], k < count <= 16, to address(a, b, c, k), where (a, b, c) is what tells groups apart in addresses.
template <class Address>
__device__ __forceinline__ void scatter(const Groups& groups, const float (&value)[16], int count, i64 a, i64 b, i64 c,
                                        Address address) {
    int lane = threadIdx.x & 31;
    for (u32 todo = groups.leaders; todo; todo &= todo - 1) {
        int leader = __ffs(todo) - 1;
        bool mine = (__shfl_sync(ALL_LANES, groups.peers, leader) >> lane) & 1;
        float masked[16];
#pragma unroll
        for (int k = 0; k < 16; k++) masked[k] = mine ? value[k] : 0.f;
        float sum = sum_sixteen(masked);
        i64 la = __shfl_sync(ALL_LANES, a, leader), lb = __shfl_sync(ALL_LANES, b, leader);
        i64 lc = __shfl_sync(ALL_LANES, c, leader);
        if (lane < count && sum != 0.f) atomicAdd(address(la, lb, lc, lane), sum);
    }
    if (groups.alone)
#pragma unroll
        for (int k = 0; k < 16; k++)
            if (k < count && value[k] != 0.f) atomicAdd(address(a, b, c, k), value[k]);
}
