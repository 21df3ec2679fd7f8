// A fixed sparse matrix, compressed rows, times colours [columns, 3]: a warp a row, lanes in a fixed order.
#include "common.cuh"

extern "C" __global__ void multiply_rows(const i64* __restrict__ starts, const int* __restrict__ indices, const float* __restrict__ weights,
                                         const float* __restrict__ colours, float* __restrict__ products, i64 rows) {
    i64 row = ((i64)blockIdx.x * blockDim.x + threadIdx.x) >> 5;
    int lane = threadIdx.x & 31;
    if (row >= rows) return;  // a whole warp
    float sum[3] = {0.f, 0.f, 0.f};
    for (i64 k = starts[row] + lane; k < starts[row + 1]; k += 32) {
        float weight = weights[k];
        const float* colour = colours + 3 * (i64)indices[k];
        for (int c = 0; c < 3; c++) sum[c] += weight * colour[c];
    }
    for (int step = 16; step; step >>= 1)
        for (int c = 0; c < 3; c++) sum[c] += __shfl_xor_sync(ALL_LANES, sum[c], step);
    if (lane < 3) products[3 * row + lane] = lane == 0 ? sum[0] : lane == 1 ? sum[1] : sum[2];
}
