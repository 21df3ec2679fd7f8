// Lists of covered pixels: made with a fixed length, and values moved between lists and pictures.
#include "common.cuh"

// rank[p]: how many pixels up to p, it included, are covered. Places beyond the capacity are left out.
extern "C" __global__ void list_pixels(const int* __restrict__ triangles, const int* __restrict__ rank, i64* __restrict__ pixels,
                                       i64 count, i64 capacity) {
    i64 p = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= count || triangles[p] < 0) return;
    i64 place = (i64)rank[p] - 1;
    if (place < capacity) pixels[place] = p;
}

// picture[pixels[i]] = values[i]; `count` values in all, -1 is padding.
extern "C" __global__ void scatter_rows(const float* __restrict__ values, const i64* __restrict__ pixels, float* __restrict__ picture,
                                        i64 count, int channels) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    i64 row = i / channels, pixel = pixels[row];
    if (pixel >= 0) picture[pixel * channels + (i - row * channels)] = values[i];
}

// values[i] = picture[pixels[i]], 0 for padding.
extern "C" __global__ void gather_rows(const float* __restrict__ picture, const i64* __restrict__ pixels, float* __restrict__ values,
                                       i64 count, int channels) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    i64 row = i / channels, pixel = pixels[row];
    values[i] = pixel >= 0 ? picture[pixel * channels + (i - row * channels)] : 0.f;
}
