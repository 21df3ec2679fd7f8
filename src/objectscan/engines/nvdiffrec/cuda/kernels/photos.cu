// How pictures differ from their photos in colour, outline and contrast, and the slopes of the weighted sum; one thread a pixel.
#include "common.cuh"

struct Options {
    float colour, outline, contrast;
    int strides, px[8];
};

__device__ __forceinline__ float sign_of(float x) { return x > 0.f ? 1.f : x < 0.f ? -1.f : 0.f; }

// rendered, slopes [B, H, W, 4]: colour times coverage, coverage. target [B, H, W, 5]: the same and whether the pixel is known.
// parts [3]: colour, outline, contrast. Pairs of pixels are met from both ends and counted from their first.
extern "C" __global__ void photo_loss(const float* __restrict__ rendered, const float* __restrict__ target, const float* __restrict__ area,
                                      Options options, float* __restrict__ parts, float4* __restrict__ slopes, int views, int height,
                                      int width) {
    i64 pixel = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    float sums[3] = {0.f, 0.f, 0.f}, inverse_area = 1.f / fmaxf(area[0], 1.f);
    float per_channel = inverse_area / 3.f, per_pair = per_channel / (float)options.strides;
    if (pixel < (i64)views * height * width) {
        int x = (int)(pixel % width), y = (int)(pixel / width % height);
        const float *ours = rendered + 4 * pixel, *photo = target + 5 * pixel;
        float known = photo[4], own = options.contrast != 0.f ? known * photo[3] : 0.f, error[3], slope[3];
        for (int c = 0; c < 3; c++) {
            error[c] = ours[c] - photo[c];
            sums[0] += known * fabsf(error[c]) * per_channel;
            slope[c] = options.colour * per_channel * known * sign_of(error[c]);
        }
        float outside = (ours[3] - photo[3]) * known, root = sqrtf(outside * outside + 1e-4f);
        sums[1] = (root - 1e-2f) * inverse_area;
        for (int i = 0; own != 0.f && i < options.strides; i++) {
            int s = options.px[i];
            for (int side = 0; side < 4; side++) {
                int across = side == 0 ? s : side == 2 ? -s : 0, down = side == 1 ? s : side == 3 ? -s : 0;
                if (x + across < 0 || x + across >= width || y + down < 0 || y + down >= height) continue;
                i64 other = pixel + across + (i64)down * width;
                const float *theirs = rendered + 4 * other, *beside = target + 5 * other;
                float pair = own * beside[3] * beside[4] * per_pair;
                for (int c = 0; c < 3; c++) {
                    float difference = error[c] - (theirs[c] - beside[c]);
                    slope[c] += options.contrast * pair * sign_of(difference);
                    if (side < 2) sums[2] += pair * fabsf(difference);
                }
            }
        }
        float4 all = {slope[0], slope[1], slope[2], options.outline * inverse_area * known * outside / root};
        slopes[pixel] = all;
    }
    for (int k = 0; k < 3; k++) {
        for (int step = 16; step; step >>= 1) sums[k] += __shfl_xor_sync(ALL_LANES, sums[k], step);
        if ((threadIdx.x & 31) == 0 && sums[k] != 0.f) atomicAdd(parts + k, sums[k]);
    }
}
