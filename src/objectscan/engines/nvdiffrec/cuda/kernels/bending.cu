// The bend between neighbouring faces, saturated at a crease, and its gradient.
#include "common.cuh"

extern "C" __global__ void unit_normals(const float* __restrict__ vertices, const int* __restrict__ faces, float4* __restrict__ normals,
                                        int count) {
    int t = blockIdx.x * blockDim.x + threadIdx.x;
    if (t >= count) return;
    const float *a = vertices + 3 * (i64)faces[3 * t], *b = vertices + 3 * (i64)faces[3 * t + 1], *c = vertices + 3 * (i64)faces[3 * t + 2];
    float u[3], v[3];
    for (int k = 0; k < 3; k++) u[k] = b[k] - a[k], v[k] = c[k] - a[k];
    float x = u[1] * v[2] - u[2] * v[1], y = u[2] * v[0] - u[0] * v[2], z = u[0] * v[1] - u[1] * v[0];
    float length = sqrtf(x * x + y * y + z * z), scale = length > 0.f ? 1.f / length : 0.f;
    float4 normal = {x * scale, y * scale, z * scale, length};
    normals[t] = normal;
}

// sums[0] += saturated 1 - cos over the edges of a face, sums[1] += their number; each edge is met from both sides.
// slopes [F, 3]: gradient of the sum of all edges by the face's normal.
extern "C" __global__ void sum_bends(const int* __restrict__ adjacency, const float4* __restrict__ normals, float* __restrict__ slopes,
                                     float* __restrict__ sums, float inverse_crease, int count) {
    int t = blockIdx.x * blockDim.x + threadIdx.x;
    float total = 0.f, edges = 0.f;
    if (t < count) {
        float4 own = normals[t];
        float slope[3] = {0.f, 0.f, 0.f};
        for (int k = 0; k < 3; k++) {
            int other = adjacency[3 * t + k];
            if (other < 0) continue;
            float4 n = normals[other];
            float cosine = own.x * n.x + own.y * n.y + own.z * n.z;
            float bend = fmaxf(1.f - cosine, 0.f), share = 1.f / (1.f + bend * inverse_crease);
            slope[0] -= share * share * n.x;
            slope[1] -= share * share * n.y;
            slope[2] -= share * share * n.z;
            total += 0.5f * bend * share;
            edges += 0.5f;
        }
        for (int k = 0; k < 3; k++) slopes[3 * t + k] = slope[k];
    }
    for (int step = 16; step; step >>= 1) {
        total += __shfl_xor_sync(ALL_LANES, total, step);
        edges += __shfl_xor_sync(ALL_LANES, edges, step);
    }
    if ((threadIdx.x & 31) == 0 && edges > 0.f) {
        atomicAdd(sums, total);
        atomicAdd(sums + 1, edges);
    }
}

extern "C" __global__ void sum_bends_backward(const float* __restrict__ vertices, const int* __restrict__ faces,
                                              const float4* __restrict__ normals, const float* __restrict__ slopes,
                                              const float* __restrict__ scale, float* __restrict__ gradient, int count) {
    int t = blockIdx.x * blockDim.x + threadIdx.x;
    if (t >= count) return;
    float4 n = normals[t];
    if (!(n.w > 0.f)) return;
    float s = scale[0] / n.w, ux = slopes[3 * t], uy = slopes[3 * t + 1], uz = slopes[3 * t + 2];
    float along = ux * n.x + uy * n.y + uz * n.z;
    float gx = (ux - along * n.x) * s, gy = (uy - along * n.y) * s, gz = (uz - along * n.z) * s;
    for (int k = 0; k < 3; k++) {
        // n = (b - a) x (c - a): the gradient by corner k is (p - q) x g.
        const float *p = vertices + 3 * (i64)faces[3 * t + (k + 1) % 3], *q = vertices + 3 * (i64)faces[3 * t + (k + 2) % 3];
        float ex = p[0] - q[0], ey = p[1] - q[1], ez = p[2] - q[2];
        float* to = gradient + 3 * (i64)faces[3 * t + k];
        atomicAdd(to, ey * gz - ez * gy);
        atomicAdd(to + 1, ez * gx - ex * gz);
        atomicAdd(to + 2, ex * gy - ey * gx);
    }
}
