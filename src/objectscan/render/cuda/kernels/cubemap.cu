// Trilinear lookup in a stack of cube maps, and its gradients.
#include "cubes.cuh"

__device__ __forceinline__ int rung_of(float level, int count, float& share) {
    float inside = level > 0.f ? fminf(level, (float)(count - 1)) : 0.f;  // a level that is no number is 0
    int low = min((int)inside, max(count - 2, 0));
    share = inside - (float)low;
    return low;
}

extern "C" __global__ void sample_cubemap(Cubes cubes, const float* __restrict__ directions, const float* __restrict__ levels,
                                          float* __restrict__ values, i64 points, int count, int channels) {
    i64 p = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= points) return;
    float share;
    int low = rung_of(levels[p], count, share);
    Spot spot = project(directions[3 * p], directions[3 * p + 1], directions[3 * p + 2]);
    for (int k = 0; k < 2; k++) {
        float weight = k ? share : 1.f - share;
        if (k && weight == 0.f) break;
        CubeCell cell = cell_at(cubes, low + k, spot);
        for (int c = 0; c < channels; c++) {
            float value = weight * sample_cell(cubes, cell, channels, c).value;
            float* target = values + p * channels + c;
            *target = k ? *target + value : value;
        }
    }
}

extern "C" __global__ void sample_cubemap_backward(Cubes cubes, const float* __restrict__ directions, const float* __restrict__ levels,
                                                   const float* __restrict__ upstream, float* texels_grad,
                                                   float* __restrict__ directions_grad, float* __restrict__ levels_grad, i64 points,
                                                   int count, int channels) {
    i64 p = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    bool inside = p < points;
    float share = 0.f, level = 0.f, gs = 0.f, gt = 0.f, to_level = 0.f;
    int low = 0;
    Spot spot = project(0.0, 0.0, 1.0);
    if (inside) {
        level = levels[p];
        low = rung_of(level, count, share);
        spot = project(directions[3 * p], directions[3 * p + 1], directions[3 * p + 2]);
    }
    for (int k = 0; k < min(2, count); k++) {
        float weight = k ? share : 1.f - share;
        CubeCell cell = cell_at(cubes, low + k, spot);
        float half = 0.5f * (float)cubes.edges[low + k] * weight;
        Groups groups = group_lanes(inside && texels_grad ? cell.at : -1);
        for (int begin = 0; begin < channels; begin += CHANNELS_AT_ONCE) {
            float value[16] = {0.f};
            int here = min(CHANNELS_AT_ONCE, channels - begin);
#pragma unroll
            for (int j = 0; j < CHANNELS_AT_ONCE; j++) {
                if (j >= here || !inside) continue;
                float g = upstream[p * channels + begin + j];
                Sample sample = sample_cell(cubes, cell, channels, begin + j);
                to_level += k ? g * sample.value : -g * sample.value;
                gs += g * sample.by_x * half;
                gt += g * sample.by_y * half;
                spread(cell, j, g * weight, value);
            }
            scatter_texels(groups, value, cell.row, texels_grad, channels, begin, here);
        }
    }
    if (!inside) return;
    levels_grad[p] = count > 1 && level >= 0.f && level <= (float)(count - 1) ? to_level : 0.f;
    Direction d = unproject(spot, gs, gt);
    directions_grad[3 * p] = d.x;
    directions_grad[3 * p + 1] = d.y;
    directions_grad[3 * p + 2] = d.z;
}
