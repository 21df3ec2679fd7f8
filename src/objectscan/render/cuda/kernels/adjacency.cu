// Which triangle lies across each edge, with a hash table of edges; nothing depends on the order of the threads.
//
// A slot holds an edge (both corners, smaller first) and, in one number, how many triangles have it and the sum of
// their half-edges 3 t + k: with exactly two, each finds the other by subtraction.
#include "common.cuh"

#define COUNT_ONE (1ull << 40)  // half-edges are below 2^33: two of them stay below the count

__device__ __forceinline__ u64 edge_of(const int* __restrict__ faces, i64 half_edge) {
    i64 t = half_edge / 3;
    int k = (int)(half_edge - 3 * t);
    u32 a = (u32)faces[3 * t + (k == 2 ? 0 : k + 1)], b = (u32)faces[3 * t + (k == 0 ? 2 : k - 1)];
    return ((u64)min(a, b) << 32) | max(a, b);
}

// No edge: padding, of which there may be a million in one place.
__device__ __forceinline__ bool is_degenerate(u64 key) { return (u32)key == (u32)(key >> 32) || (int)(u32)key < 0; }

// The edge's first slot; the table (a power of two, slots = mask + 1) always has a free one.
__device__ __forceinline__ u64 slot_of(u64 key, u64 mask) {
    u64 h = key * 0x9E3779B97F4A7C15ull;
    h ^= h >> 32;
    return h & mask;
}

extern "C" __global__ void insert_edges(const int* __restrict__ faces, u64* keys, u64* values, i64 half_edges, u64 mask) {
    i64 h = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (h >= half_edges) return;
    u64 key = edge_of(faces, h), slot = slot_of(key, mask);
    if (is_degenerate(key)) return;
    for (;; slot = (slot + 1) & mask) {
        u64 seen = atomicCAS(keys + slot, ~0ull, key);
        if (seen == ~0ull || seen == key) break;
    }
    atomicAdd(values + slot, COUNT_ONE + (u64)h);
}

extern "C" __global__ void link_edges(const int* __restrict__ faces, const u64* __restrict__ keys, const u64* __restrict__ values,
                                      int* __restrict__ adjacency, i64 half_edges, u64 mask) {
    i64 h = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (h >= half_edges) return;
    u64 key = edge_of(faces, h), slot = slot_of(key, mask);
    if (is_degenerate(key)) {
        adjacency[h] = -1;
        return;
    }
    while (keys[slot] != key) slot = (slot + 1) & mask;
    u64 value = values[slot];
    adjacency[h] = value / COUNT_ONE == 2 ? (int)((value % COUNT_ONE - (u64)h) / 3) : -1;
}
