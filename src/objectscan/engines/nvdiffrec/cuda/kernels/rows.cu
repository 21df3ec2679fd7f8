// Rows of parameters of which a step touches few: Adam on those, and sums into their gradient.
#include "common.cuh"

#define MOST_CHANNELS 20

struct Step {
    float rate[MOST_CHANNELS], lower[MOST_CHANNELS], upper[MOST_CHANNELS];
    float beta1, beta2, epsilon;
    int channels, is_bounded;
};

// A thread a row: most rows cost the byte that says they were not touched.
extern "C" __global__ void step_rows(float* __restrict__ values, float* __restrict__ gradient, unsigned char* __restrict__ touched,
                                     float* __restrict__ first, float* __restrict__ second, int* __restrict__ counts, Step step,
                                     i64 rows) {
    i64 row = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows || !touched[row]) return;
    touched[row] = 0;
    float count = (float)++counts[row];
    float correction1 = -expm1f(count * logf(step.beta1)), correction2 = -expm1f(count * logf(step.beta2));
    for (int c = 0; c < step.channels; c++) {
        i64 k = row * step.channels + c;
        float g = gradient[k];
        gradient[k] = 0.f;
        float m = first[k] = step.beta1 * first[k] + (1.f - step.beta1) * g;
        float v = second[k] = step.beta2 * second[k] + (1.f - step.beta2) * g * g;
        float moved = values[k] - step.rate[c] * (m / correction1) / (sqrtf(v / correction2) + step.epsilon);
        values[k] = step.is_bounded ? fminf(fmaxf(moved, step.lower[c]), step.upper[c]) : moved;
    }
}

// gradient[index[i]] += upstream[i]; an index may come twice.
extern "C" __global__ void scatter_rows(const i64* __restrict__ index, const float* __restrict__ upstream, float* __restrict__ gradient,
                                        unsigned char* __restrict__ touched, i64 count, int channels) {
    i64 element = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (element >= count * channels) return;
    i64 row = index[element / channels];
    int channel = (int)(element % channels);
    if (channel == 0) touched[row] = 1;
    atomicAdd(gradient + row * channels + channel, upstream[element]);
}
