// Patch match on a chessboard: pixels of one colour look at planes of the other (Galliani et al. 2015). One thread a pixel.
// The search, the cost and what is random are those of stereo_kernels.py.
#include "common.cuh"

#define NO_MATCH 2.f
#define FLATTEST_COSINE 0.05f
#define DOUBTED_SHARE 0.02f
#define NEIGHBOUR_STEPS 2

struct Search {
    float deepest, doubt, shrink;
    int views, height, width, others, reach, colour;
    u32 seed;
};

// Everything that does not change from sweep to sweep.
struct Pictures {
    const float *grey, *mask;           // [N, H, W]
    const int* other;                   // [N, K] views that a view is matched with
    const float *rotation, *shift;      // [N, K, 9], [N, K, 3]: camera points of a view to pixels of another
    const float* intrinsics;            // [N, 4]: fx fy cx cy
    const float* start_depth;           // [N, H, W]: nearest depth, 0 where there is none
};

// A plane through a point of a pixel's ray: depth there, and its normal in camera space.
struct Plane {
    float depth, x, y, z;
};

__device__ __forceinline__ float random_share(u32& state) {
    state = state * 747796405u + 2891336453u;
    u32 word = ((state >> ((state >> 28) + 4)) ^ state) * 277803737u;
    return (float)(((word >> 22) ^ word) >> 8) * (1.f / 16777216.f);
}

// 1 - weighted correlation of a patch and its image in another view through a plane; NO_MATCH if none.
__device__ float mismatch(const Pictures& all, const Search& search, int view, int k, int row, int column, Plane plane) {
    int height = search.height, width = search.width, reach = search.reach;
    i64 size = (i64)height * width;
    const float *grey = all.grey + view * size, *mask = all.mask + view * size;
    const float *other = all.grey + all.other[view * search.others + k] * size;
    const float *other_mask = all.mask + all.other[view * search.others + k] * size;
    const float *m = all.rotation + 9 * (i64)(view * search.others + k), *shift = all.shift + 3 * (i64)(view * search.others + k);
    float fx = all.intrinsics[4 * view], fy = all.intrinsics[4 * view + 1];
    float cx = all.intrinsics[4 * view + 2], cy = all.intrinsics[4 * view + 3];
    float distance = plane.depth * (plane.x * (column + 0.5f - cx) / fx + plane.y * (row + 0.5f - cy) / fy + plane.z);
    float total = 0.f, sum_a = 0.f, sum_b = 0.f, sum_aa = 0.f, sum_bb = 0.f, sum_ab = 0.f, own = grey[(i64)row * width + column];
    int lost = 0, count = 0;
    for (int r = max(row - reach, 0); r < min(row + reach + 1, height); r += 2) {
        for (int c = max(column - reach, 0); c < min(column + reach + 1, width); c += 2) {
            if (mask[(i64)r * width + c] < 0.9f) continue;
            count++;
            lost++;  // taken back where the point is found
            float x = (c + 0.5f - cx) / fx, y = (r + 0.5f - cy) / fy, slope = plane.x * x + plane.y * y + plane.z;
            if (slope > -1e-3f) continue;
            float z = distance / slope;
            x *= z;
            y *= z;
            float w = m[6] * x + m[7] * y + m[8] * z + shift[2];
            if (!(w > 1e-9f)) continue;
            float u = (m[0] * x + m[1] * y + m[2] * z + shift[0]) / w - 0.5f;
            float v = (m[3] * x + m[4] * y + m[5] * z + shift[1]) / w - 0.5f;
            if (!(u >= 0.f && v >= 0.f && u < width - 1 && v < height - 1)) continue;
            int i = (int)u, j = (int)v;
            i64 at = (i64)j * width + i;
            if (other_mask[at] < 0.5f) continue;
            lost--;
            float fu = u - i, fv = v - j;
            float b = (other[at] * (1.f - fu) + other[at + 1] * fu) * (1.f - fv);
            b += (other[at + width] * (1.f - fu) + other[at + width + 1] * fu) * fv;
            // Differences from the patch's own pixel: in float32 sums of squares would lose the small ones.
            float a = grey[(i64)r * width + c] - own;
            b -= own;
            float away = (float)((r - row) * (r - row) + (c - column) * (c - column));
            float weight = expf(-8.f * fabsf(a) - away / (1.5f * reach * reach));
            total += weight;
            sum_a += weight * a;
            sum_b += weight * b;
            sum_aa += weight * a * a;
            sum_bb += weight * b * b;
            sum_ab += weight * a * b;
        }
    }
    if (count == 0 || 3 * lost > count || !(total > 0.f)) return NO_MATCH;
    float mean_a = sum_a / total, mean_b = sum_b / total;
    const float noise = 2e-6f;  // variance of 8-bit rounding: flat patches must not match by chance
    float variance = (sum_aa / total - mean_a * mean_a + noise) * (sum_bb / total - mean_b * mean_b + noise);
    return 1.f - (sum_ab / total - mean_a * mean_b) / sqrtf(fmaxf(variance, 1e-20f));
}

// Mean of the two best mismatches: a point is hidden in some of the other views.
__device__ float cost_of(const Pictures& all, const Search& search, int view, int row, int column, Plane plane) {
    float best = NO_MATCH, second = NO_MATCH;
    for (int k = 0; k < search.others; k++) {
        float cost = mismatch(all, search, view, k, row, column, plane);
        if (cost < best) {
            second = best;
            best = cost;
        } else if (cost < second) {
            second = cost;
        }
    }
    return 0.5f * (best + second);
}

// A random plane: anywhere (0), a little deeper or nearer (1), turned (2), or both by a little (3).
__device__ Plane varied(Plane plane, float start, float deepest, float shrink, int attempt, u32& state) {
    float turn = 0.f, move = 0.f;
    if (attempt == 0) {
        float share = random_share(state);
        plane.depth = start + share * share * deepest;
        turn = 0.8f;
    } else if (attempt == 1) {
        move = 0.1f * deepest * shrink;
    } else if (attempt == 2) {
        turn = 0.6f * shrink;
    } else {
        turn = 0.15f * shrink;
        move = 0.02f * deepest * shrink;
    }
    plane.depth += (2.f * random_share(state) - 1.f) * move;
    plane.x += (2.f * random_share(state) - 1.f) * turn;
    plane.y += (2.f * random_share(state) - 1.f) * turn;
    plane.z += (2.f * random_share(state) - 1.f) * turn;
    float inverse = 1.f / sqrtf(plane.x * plane.x + plane.y * plane.y + plane.z * plane.z + 1e-24f);
    plane.x *= inverse;
    plane.y *= inverse;
    plane.z *= inverse;
    return plane;
}

// The cost of the planes [N, H, W] of the start.
extern "C" __global__ void begin_matching(Pictures all, Search search, const float4* __restrict__ planes, float* __restrict__ cost) {
    i64 pixel = (i64)blockIdx.x * blockDim.x + threadIdx.x, size = (i64)search.height * search.width;
    if (pixel >= search.views * size) return;
    int view = (int)(pixel / size), row = (int)(pixel % size / search.width), column = (int)(pixel % search.width);
    float4 own = planes[pixel];
    Plane plane = {own.x, own.y, own.z, own.w};
    cost[pixel] = all.start_depth[pixel] > 0.f ? cost_of(all, search, view, row, column, plane) : NO_MATCH;
}

// Pixels of one colour try the planes of others of the other colour, and random ones.
extern "C" __global__ void sweep_matching(Pictures all, Search search, float4* __restrict__ planes, float* __restrict__ cost) {
    int half = (search.width + 1) / 2;
    i64 thread = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= (i64)search.views * search.height * half) return;
    int view = (int)(thread / ((i64)search.height * half)), row = (int)(thread / half % search.height);
    int column = 2 * (int)(thread % half) + ((row + search.colour) & 1);
    i64 pixel = ((i64)view * search.height + row) * search.width + column;
    if (column >= search.width || !(all.start_depth[pixel] > 0.f)) return;
    float fx = all.intrinsics[4 * view], fy = all.intrinsics[4 * view + 1];
    float cx = all.intrinsics[4 * view + 2], cy = all.intrinsics[4 * view + 3];
    float x = (column + 0.5f - cx) / fx, y = (row + 0.5f - cy) / fy, nearest = all.start_depth[pixel], best = cost[pixel];
    float4 kept = planes[pixel];
    Plane own = {kept.x, kept.y, kept.z, kept.w};
    u32 state = search.seed ^ (u32)pixel * 2654435761u;
    for (int attempt = 0; attempt < 4 * NEIGHBOUR_STEPS + 4; attempt++) {
        Plane trial;
        if (attempt < 4 * NEIGHBOUR_STEPS) {
            const int steps[NEIGHBOUR_STEPS] = {1, 5};
            int step = steps[attempt >> 2], side = attempt & 3;
            int r = row + (side == 0 ? step : side == 1 ? -step : 0), c = column + (side == 2 ? step : side == 3 ? -step : 0);
            if (r < 0 || c < 0 || r >= search.height || c >= search.width) continue;
            i64 other = ((i64)view * search.height + r) * search.width + c;
            if (!(all.start_depth[other] > 0.f)) continue;
            float4 near = planes[other];
            float facing = near.y * x + near.z * y + near.w;
            if (facing > -FLATTEST_COSINE) continue;
            float through = near.y * (c + 0.5f - cx) / fx + near.z * (r + 0.5f - cy) / fy + near.w;
            trial = {near.x * through / facing, near.y, near.z, near.w};
        } else {
            trial = varied(own, nearest, search.deepest, search.shrink, attempt - 4 * NEIGHBOUR_STEPS, state);
        }
        bool outside = trial.depth < 0.99f * nearest || trial.depth > nearest + search.deepest;
        if (outside || trial.x * x + trial.y * y + trial.z > -FLATTEST_COSINE) continue;
        float found = cost_of(all, search, view, row, column, trial);
        found += search.doubt * fminf(fmaxf(trial.depth - nearest, 0.f) / (DOUBTED_SHARE * search.deepest), 1.f);
        if (found < best) {
            best = found;
            own = trial;
        }
    }
    float4 result = {own.depth, own.x, own.y, own.z};
    planes[pixel] = result;
    cost[pixel] = best;
}
