// Lookup in a stack of 2D textures, bilinear in the first level or trilinear in the level of a footprint, and its
// gradients. Row 0 of a texture is v = 0.
#include "texels.cuh"

#define LEVELS 16
#define LOCAL 4096    // floats of coarse levels whose gradient a block sums in shared memory
#define THREADS 256

struct Texture {
    const float* texels[LEVELS];
    float* gradients[LEVELS];     // 0: not wanted
    const float2* uv;
    const float4* footprint;      // 0: level 0 only
    float* values;
    const float* upstream;
    float2* uv_grad;
    float4* footprint_grad;       // may be 0
    i64 points;
    int width[LEVELS], height[LEVELS];
    int local[LEVELS];            // where the level begins in shared memory, or -1
    int levels, channels, repeat, padding;
};

struct Axis { int below, first, second; float share; };
struct Cell { Axis x, y; int row[TAPS]; };
struct Level { int low; float share; };  // of the level after `low`

// In double, as on the CPU: a float is 1e-4 texels off in a texture of 2048.
__device__ __forceinline__ Axis axis_of(float coordinate, int size, int repeat) {
    double position = (double)coordinate * size - 0.5;
    if (repeat) position -= floor(position / size) * size;
    if (!(position > -1.0)) position = -1.0;  // a NaN ends up at the border instead of outside the array
    if (position > size) position = size;
    double below = floor(position);
    Axis axis;
    axis.share = (float)(position - below);
    axis.below = (int)below;
    if (repeat) {
        axis.first = (axis.below + size) % size;
        axis.second = (axis.below + 1) % size;
    } else {
        axis.first = min(max(axis.below, 0), size - 1);
        axis.second = min(max(axis.below + 1, 0), size - 1);
    }
    return axis;
}

__device__ __forceinline__ Cell cell_of(const Texture& t, int level, float2 uv) {
    Cell cell;
    int width = t.width[level];
    cell.x = axis_of(uv.x, width, t.repeat);
    cell.y = axis_of(uv.y, t.height[level], t.repeat);
    cell.row[0] = cell.y.first * width + cell.x.first;
    cell.row[1] = cell.y.first * width + cell.x.second;
    cell.row[2] = cell.y.second * width + cell.x.first;
    cell.row[3] = cell.y.second * width + cell.x.second;
    return cell;
}

// The footprint's squares in texels of level 0: |x|^2, |y|^2, x.y of the Jacobian's columns, and the larger eigenvalue.
struct Ellipse { float ux, uy, vx, vy, a, b, c, root, squared; };

__device__ __forceinline__ Ellipse ellipse_of(const Texture& t, float4 f) {
    Ellipse e;
    float width = (float)t.width[0], height = (float)t.height[0];
    e.ux = f.x * width; e.uy = f.y * width;
    e.vx = f.z * height; e.vy = f.w * height;
    e.a = e.ux * e.ux + e.vx * e.vx;
    e.b = e.uy * e.uy + e.vy * e.vy;
    e.c = e.ux * e.uy + e.vx * e.vy;
    float half = 0.5f * (e.a - e.b);
    e.root = sqrtf(half * half + e.c * e.c);
    e.squared = 0.5f * (e.a + e.b) + e.root;
    return e;
}

__device__ __forceinline__ Level level_of(const Texture& t, i64 p) {
    Level level = {0, 0.f};
    if (!t.footprint) return level;
    float squared = ellipse_of(t, t.footprint[p]).squared;
    if (!(squared > 1.f)) return level;  // below a texel, or no number
    float whole = fminf(0.5f * log2f(squared), (float)(t.levels - 1));
    level.low = (int)whole;
    level.share = whole - (float)level.low;
    return level;
}

extern "C" __global__ void sample_texture(Texture t) {
    i64 p = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= t.points) return;
    Level level = level_of(t, p);
    float2 uv = t.uv[p];
    for (int k = 0; k < 2; k++) {
        float weight = k ? level.share : 1.f - level.share;
        if (weight == 0.f) break;
        Cell cell = cell_of(t, level.low + k, uv);
        const float* texels = t.texels[level.low + k];
        float fx = cell.x.share, fy = cell.y.share;
        for (int c = 0; c < t.channels; c++) {
            float v[TAPS];
#pragma unroll
            for (int tap = 0; tap < TAPS; tap++) v[tap] = texels[(i64)cell.row[tap] * t.channels + c];
            float value = weight * ((v[0] * (1.f - fx) + v[1] * fx) * (1.f - fy) + (v[2] * (1.f - fx) + v[3] * fx) * fy);
            float* target = t.values + p * t.channels + c;
            *target = k ? *target + value : value;
        }
    }
}

// Gradient in (du/dX, du/dY, dv/dX, dv/dY) of one in the level; 0 where the level is clamped.
__device__ __forceinline__ float4 footprint_gradient(const Texture& t, float4 footprint, float upstream) {
    Ellipse e = ellipse_of(t, footprint);
    if (!(e.squared > 1.f) || 0.5f * log2f(e.squared) > (float)(t.levels - 1)) return make_float4(0.f, 0.f, 0.f, 0.f);
    float width = (float)t.width[0], height = (float)t.height[0];
    float g = upstream * 0.5f / (e.squared * 0.69314718f);
    // At a circle (root 0) the larger eigenvalue has a kink: its symmetric subgradient.
    float lean = e.root > 0.f ? 0.25f * (e.a - e.b) / e.root : 0.f;
    float ga = g * (0.5f + lean), gb = g * (0.5f - lean), gc = e.root > 0.f ? g * e.c / e.root : 0.f;
    return make_float4((2.f * ga * e.ux + gc * e.uy) * width, (2.f * gb * e.uy + gc * e.ux) * width,
                       (2.f * ga * e.vx + gc * e.vy) * height, (2.f * gb * e.vy + gc * e.vx) * height);
}

// Blocks walk over the points. Lanes in the same cell are summed first; coarse levels, on whose few texels all points
// meet, are summed in the block's own memory and reach the gradient once a block.
extern "C" __global__ void __launch_bounds__(THREADS)
sample_texture_backward(Texture t) {
    __shared__ float local[LOCAL];
    for (int i = threadIdx.x; i < LOCAL; i += THREADS) local[i] = 0.f;
    __syncthreads();
    for (i64 first = (i64)blockIdx.x * THREADS; first < t.points; first += (i64)gridDim.x * THREADS) {
        i64 p = first + threadIdx.x;
        bool inside = p < t.points;
        Level level = {0, 0.f};
        float2 uv = make_float2(0.f, 0.f), to_uv = uv;
        float to_level = 0.f;
        if (inside) {
            level = level_of(t, p);
            uv = t.uv[p];
        }
        for (int k = 0; k < 2; k++) {
            float weight = k ? level.share : 1.f - level.share;
            bool active = inside && weight != 0.f;
            if (!__any_sync(ALL_LANES, active)) break;
            int at = active ? level.low + k : 0;
            Cell cell = cell_of(t, at, uv);
            const float* texels = t.texels[at];
            float* gradient = t.gradients[at] && t.local[at] >= 0 ? local + t.local[at] : t.gradients[at];
            i64 key = ((i64)at << 56) | ((i64)(cell.y.below + 1) << 28) | (i64)(cell.x.below + 1);
            Groups groups = group_lanes(active && gradient ? key : -1);
            float fx = cell.x.share, fy = cell.y.share, along = 0.f, gx = 0.f, gy = 0.f;
            for (int begin = 0; begin < t.channels; begin += CHANNELS_AT_ONCE) {
                float value[16] = {0.f};
                int here = min(CHANNELS_AT_ONCE, t.channels - begin);
#pragma unroll
                for (int j = 0; j < CHANNELS_AT_ONCE; j++) {
                    if (j >= here || !active) continue;
                    float g = t.upstream[p * t.channels + begin + j], v[TAPS];
#pragma unroll
                    for (int tap = 0; tap < TAPS; tap++) v[tap] = texels[(i64)cell.row[tap] * t.channels + begin + j];
                    gx += g * ((v[1] - v[0]) * (1.f - fy) + (v[3] - v[2]) * fy);
                    gy += g * ((v[2] - v[0]) * (1.f - fx) + (v[3] - v[1]) * fx);
                    along += g * ((v[0] * (1.f - fx) + v[1] * fx) * (1.f - fy) + (v[2] * (1.f - fx) + v[3] * fx) * fy);
                    float h = weight * g;
                    value[j] = h * (1.f - fx) * (1.f - fy);
                    value[4 + j] = h * fx * (1.f - fy);
                    value[8 + j] = h * (1.f - fx) * fy;
                    value[12 + j] = h * fx * fy;
                }
                scatter_texels(groups, value, cell.row, gradient, t.channels, begin, here);
            }
            if (!active) continue;
            to_uv.x += weight * gx * t.width[at];
            to_uv.y += weight * gy * t.height[at];
            to_level += k ? along : -along;  // the weight falls with |level - this one|
        }
        if (!inside) continue;
        t.uv_grad[p] = to_uv;
        if (t.footprint_grad) t.footprint_grad[p] = footprint_gradient(t, t.footprint[p], to_level);
    }
    __syncthreads();
    for (int level = 0; level < t.levels; level++) {
        if (t.local[level] < 0 || !t.gradients[level]) continue;
        int count = t.width[level] * t.height[level] * t.channels;
        for (int i = threadIdx.x; i < count; i += THREADS) {
            float sum = local[t.local[level] + i];
            if (sum != 0.f) atomicAdd(t.gradients[level] + i, sum);
        }
    }
}
