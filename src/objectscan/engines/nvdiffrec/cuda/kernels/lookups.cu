// Learnt materials at points: trilinear in a sum of grids (pass 1), bilinear in a square atlas (pass 2).
#include "common.cuh"

#define CHANNELS 6  // of the field
#define MOST_LEVELS 8

struct Layout {
    i64 starts[MOST_LEVELS + 1];
    int cells[MOST_LEVELS], hashed[MOST_LEVELS];
    int levels, unused;
};

struct Cell { int index[3]; float share[3]; };

__device__ __forceinline__ Cell cell_of(const float* __restrict__ point, int cells) {
    Cell cell;
    for (int k = 0; k < 3; k++) {
        float scaled = point[k] * (float)cells;
        cell.index[k] = min(max((int)scaled, 0), cells - 1);
        cell.share[k] = scaled - (float)cell.index[k];
    }
    return cell;
}

// Row of a corner of a cell; large levels share rows by a spatial hash (Teschner et al. 2003).
__device__ __forceinline__ i64 row_of(const Layout& layout, int level, int x, int y, int z, int corner) {
    u32 i = x + (corner & 1), j = y + (corner >> 1 & 1), k = z + (corner >> 2);
    u32 side = layout.cells[level] + 1, rows = (u32)(layout.starts[level + 1] - layout.starts[level]);
    u32 row = layout.hashed[level] ? (i ^ (j * 2654435761u) ^ (k * 805459861u)) % rows : (i * side + j) * side + k;
    return layout.starts[level] + row;
}

__device__ __forceinline__ float part(float share, int upper) { return upper ? share : 1.f - share; }

extern "C" __global__ void read_field(const float* __restrict__ points, const float* __restrict__ table, Layout layout,
                                      float* __restrict__ values, i64 count) {
    i64 p = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= count) return;
    float sum[CHANNELS] = {0.f};
    for (int level = 0; level < layout.levels; level++) {
        Cell cell = cell_of(points + 3 * p, layout.cells[level]);
#pragma unroll
        for (int corner = 0; corner < 8; corner++) {
            float weight = part(cell.share[0], corner & 1) * part(cell.share[1], corner >> 1 & 1) * part(cell.share[2], corner >> 2);
            const float* row = table + CHANNELS * row_of(layout, level, cell.index[0], cell.index[1], cell.index[2], corner);
#pragma unroll
            for (int c = 0; c < CHANNELS; c++) sum[c] += weight * row[c];
        }
    }
    for (int c = 0; c < CHANNELS; c++) values[CHANNELS * p + c] = sum[c];
}

// Points beside each other lie in one cell of the coarse levels: their 48 sums go out once a group of lanes.
extern "C" __global__ void read_field_backward(const float* __restrict__ points, const float* __restrict__ table, Layout layout,
                                               const float* __restrict__ upstream, float* __restrict__ table_grad,
                                               unsigned char* __restrict__ touched, float* __restrict__ points_grad, i64 count) {
    i64 p = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    bool exists = p < count;  // all lanes take part in the sums
    float g[CHANNELS], total[3] = {0.f, 0.f, 0.f};
    for (int c = 0; c < CHANNELS; c++) g[c] = exists ? upstream[CHANNELS * p + c] : 0.f;
    for (int level = 0; level < layout.levels; level++) {
        int cells = layout.cells[level];
        Cell cell = cell_of(points + (exists ? 3 * p : 0), cells);
        int x = cell.index[0], y = cell.index[1], z = cell.index[2];
        float weights[8];
#pragma unroll
        for (int corner = 0; corner < 8; corner++) {
            float wx = part(cell.share[0], corner & 1), wy = part(cell.share[1], corner >> 1 & 1), wz = part(cell.share[2], corner >> 2);
            weights[corner] = wx * wy * wz;
            if (!exists) continue;
            i64 row = row_of(layout, level, x, y, z, corner);
            float dot = 0.f;
            for (int c = 0; c < CHANNELS; c++) dot += g[c] * table[CHANNELS * row + c];
            touched[row] = 1;
            dot *= (float)cells;
            total[0] += (corner & 1 ? dot : -dot) * wy * wz;
            total[1] += (corner >> 1 & 1 ? dot : -dot) * wx * wz;
            total[2] += (corner >> 2 ? dot : -dot) * wx * wy;
        }
        i64 key = exists ? ((i64)x * (cells + 1) + y) * (cells + 1) + z : -1;
        Groups groups = group_lanes(key);
#pragma unroll
        for (int third = 0; third < 3; third++) {
            float value[16];
#pragma unroll
            for (int k = 0; k < 16; k++) value[k] = weights[(16 * third + k) / CHANNELS] * g[(16 * third + k) % CHANNELS];
            scatter(groups, value, 16, x, y, z, [&](i64 a, i64 b, i64 c, int k) {
                int flat = 16 * third + k;
                return table_grad + CHANNELS * row_of(layout, level, (int)a, (int)b, (int)c, flat / CHANNELS) + flat % CHANNELS;
            });
        }
    }
    if (exists)
        for (int k = 0; k < 3; k++) points_grad[3 * p + k] = total[k];
}

// --------------------------------------------------------------------------------- the atlas
// A thread a point and channel: the channels of a texel lie side by side.

struct Taps { i64 row; float fx, fy; };

__device__ __forceinline__ Taps taps_of(const float* __restrict__ uv, int size) {
    float at[2];
    int first[2];
    for (int k = 0; k < 2; k++) {
        at[k] = fminf(fmaxf(uv[k] * (float)size - 0.5f, 0.f), (float)size - 1.f);
        first[k] = min((int)at[k], size - 2);
    }
    return {(i64)first[1] * size + first[0], at[0] - (float)first[0], at[1] - (float)first[1]};
}

extern "C" __global__ void read_atlas(const float* __restrict__ texels, const float* __restrict__ uv, float* __restrict__ values, i64 count,
                                      int channels, int size) {
    i64 element = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (element >= count * channels) return;
    int channel = (int)(element % channels);
    Taps t = taps_of(uv + 2 * (element / channels), size);
    const float* low = texels + t.row * channels + channel;
    const float* high = low + (i64)size * channels;
    float below = low[0] * (1.f - t.fx) + low[channels] * t.fx, above = high[0] * (1.f - t.fx) + high[channels] * t.fx;
    values[element] = below * (1.f - t.fy) + above * t.fy;
}

extern "C" __global__ void read_atlas_backward(const float* __restrict__ uv, const float* __restrict__ upstream,
                                               float* __restrict__ texel_grad, unsigned char* __restrict__ touched, i64 count, int channels,
                                               int size) {
    i64 element = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (element >= count * channels) return;
    int channel = (int)(element % channels);
    Taps t = taps_of(uv + 2 * (element / channels), size);
    float g = upstream[element];
    for (int tap = 0; tap < 4; tap++) {
        i64 row = t.row + (tap & 1) + (tap >> 1) * (i64)size;
        atomicAdd(texel_grad + row * channels + channel, part(t.fx, tap & 1) * part(t.fy, tap >> 1) * g);
        if (channel == 0) touched[row] = 1;
    }
}
