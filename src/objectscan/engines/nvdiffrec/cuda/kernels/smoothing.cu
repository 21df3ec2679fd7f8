// (I + smoothness L) x = b on a mesh by Chebyshev's iteration with the diagonal as preconditioner: no sums over all
// vertices, so each iteration is one launch and nothing waits.
#include "common.cuh"

// x = 0, residual = direction * theta = b / diagonal.
extern "C" __global__ void begin_smoothing(const float* __restrict__ b, const int* __restrict__ starts, float* __restrict__ x,
                                           float* __restrict__ residual, float* __restrict__ direction, float smoothness, float inverse_theta,
                                           int count) {
    int element = blockIdx.x * blockDim.x + threadIdx.x;
    if (element >= 3 * count) return;
    int v = element / 3;
    float r = b[element] / (1.f + smoothness * (float)(starts[v + 1] - starts[v]));
    x[element] = 0.f;
    residual[element] = r;
    direction[element] = r * inverse_theta;
}

extern "C" __global__ void iterate_smoothing(const int* __restrict__ starts, const int* __restrict__ neighbours, float* __restrict__ x,
                                             float* __restrict__ residual, const float* __restrict__ direction, float* __restrict__ next,
                                             float smoothness, float keep, float add, int count) {
    int element = blockIdx.x * blockDim.x + threadIdx.x;
    if (element >= 3 * count) return;
    int v = element / 3, k = element - 3 * v;
    float around = 0.f, own = direction[element];
    for (int i = starts[v]; i < starts[v + 1]; i++) around += direction[3 * neighbours[i] + k];
    float diagonal = 1.f + smoothness * (float)(starts[v + 1] - starts[v]);
    float r = residual[element] - own + smoothness * around / diagonal;
    x[element] += own;
    residual[element] = r;
    next[element] = keep * own + add * r;
}
