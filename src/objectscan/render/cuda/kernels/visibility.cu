// Which triangle is seen at which pixel centre: exact coverage, depth test, near clipping, depth peeling.
//
// The nearest fragment of a pixel is the smallest key: (depth as a sortable number) << 32 | triangle. Keys are
// written by a 64-bit atomicMin: nearest wins, the lowest triangle on a tie, whatever the order of the threads.
//
// One thread sets a triangle up. By the number of pixels in its bounding box it is drawn
//   tiny:   by that thread;
//   medium: by the block, all of whose medium triangles are one list of columns of at most 16 pixels: the load is
//           even, and neighbouring lanes write neighbouring pixels;
//   large, or clipped: as tiles of 64 x 64 pixels in a queue, which `draw_queue` works off.
#include "common.cuh"

#define SUBPIXELS 256
#define HALF 128
#define GUARD 268435456.0  // 2^28: largest snapped coordinate, products of two differences fit into 64 bits
#define THREADS 128
#define TILE 64            // pixels; the edge functions of a triangle of this extent fit into 32 bits
#ifndef SEGMENT
#define SEGMENT 32         // rows of one column that a lane draws; 16 took up to 1.27 times as long
#endif
#ifndef TINY
#define TINY 12            // pixels of the largest bounding box that one thread draws
#endif

struct __align__(16) WindowVertex { int x, y; float z; int snapped; };
struct Corner { int x, y; double z; };

struct Setup {
    int ax, ay, bx, by, cx, cy;          // counter-clockwise in window coordinates, 1/256 pixel
    int x_min, x_max, y_min, y_max;      // pixels whose centres may lie inside
    double z, zx, zy;                    // depth at the centre of pixel (x_min, y_min), change a pixel
    double z_low, z_high;                // of the corners: a sliver's plane runs away outside it
};

struct Target {                          // one view's picture
    u64* keys;
    const u64* behind;                   // peeling: only larger keys than these count
    int width;
};

// ------------------------------------------------------------------------------------------- vertices
// Also clears the keys and the queue's counter: one launch less.
extern "C" __global__ void prepare(const float4* __restrict__ clip, WindowVertex* __restrict__ window, u64* __restrict__ keys,
                                   u32* __restrict__ queue_count, i64 vertices, i64 pixels, int width, int height) {
    i64 first = (i64)blockIdx.x * blockDim.x + threadIdx.x, step = (i64)gridDim.x * blockDim.x;
    if (first == 0) *queue_count = 0;
    for (i64 i = first; i < pixels; i += step) keys[i] = ~0ull;
    for (i64 i = first; i < vertices; i += step) {
        float4 p = clip[i];
        WindowVertex v;
        v.x = v.y = v.snapped = 0;
        v.z = 0.f;
        if (p.w > 0.f && p.w < __int_as_float(0x7f800000) && p.z >= -p.w) {
            // Roundings as on the CPU (and no fused products), so that both snap to the same place.
            double x = __dmul_rn(__dadd_rn(__dmul_rn((double)__fdiv_rn(p.x, p.w), 0.5), 0.5), (double)width * SUBPIXELS);
            double y = __dmul_rn(__dadd_rn(__dmul_rn((double)__fdiv_rn(p.y, p.w), 0.5), 0.5), (double)height * SUBPIXELS);
            if (fabs(x) < GUARD && fabs(y) < GUARD) {
                v.x = (int)floor(__dadd_rn(x, 0.5));
                v.y = (int)floor(__dadd_rn(y, 0.5));
                v.z = __fdiv_rn(p.z, p.w);
                v.snapped = 1;
            }
        }
        window[i] = v;
    }
}

// ---------------------------------------------------------------------------------------------- setup
__device__ __forceinline__ Corner corner_of(WindowVertex v) {
    Corner c;
    c.x = v.x; c.y = v.y; c.z = (double)v.z;
    return c;
}

// False if no pixel can see the triangle.
__device__ bool set_up(Setup& s, Corner a, Corner b, Corner c, int width, int height, int cull) {
    s.x_min = max((min(a.x, min(b.x, c.x)) + HALF - 1) >> 8, 0);
    s.x_max = min((max(a.x, max(b.x, c.x)) - HALF) >> 8, width - 1);
    s.y_min = max((min(a.y, min(b.y, c.y)) + HALF - 1) >> 8, 0);
    s.y_max = min((max(a.y, max(b.y, c.y)) - HALF) >> 8, height - 1);
    if (s.x_min > s.x_max || s.y_min > s.y_max) return false;
    i64 area = (i64)(b.x - a.x) * (c.y - a.y) - (i64)(c.x - a.x) * (b.y - a.y);
    // y points down: a triangle that is counter-clockwise on screen, a front, has a negative area.
    if (area == 0 || (cull && area > 0)) return false;
    if (area < 0) {
        Corner swapped = b;
        b = c;
        c = swapped;
        area = -area;
    }
    s.ax = a.x; s.ay = a.y; s.bx = b.x; s.by = b.y; s.cx = c.x; s.cy = c.y;
    double inverse = 1.0 / (double)area;
    double zx = ((b.z - a.z) * (double)(c.y - a.y) - (c.z - a.z) * (double)(b.y - a.y)) * inverse;
    double zy = ((c.z - a.z) * (double)(b.x - a.x) - (b.z - a.z) * (double)(c.x - a.x)) * inverse;
    s.z = a.z + zx * (double)(s.x_min * SUBPIXELS + HALF - a.x) + zy * (double)(s.y_min * SUBPIXELS + HALF - a.y);
    s.zx = zx * SUBPIXELS;
    s.zy = zy * SUBPIXELS;
    s.z_low = fmin(a.z, fmin(b.z, c.z));
    s.z_high = fmax(a.z, fmax(b.z, c.z));
    return true;
}

__device__ __forceinline__ Corner snap(double x, double y, double z, double w, int width, int height) {
    double fx = __dmul_rn(__dadd_rn(__dmul_rn(x / w, 0.5), 0.5), (double)width * SUBPIXELS);
    double fy = __dmul_rn(__dadd_rn(__dmul_rn(y / w, 0.5), 0.5), (double)height * SUBPIXELS);
    Corner c;
    c.x = (int)floor(__dadd_rn(fmin(fmax(fx, -GUARD), GUARD), 0.5));
    c.y = (int)floor(__dadd_rn(fmin(fmax(fy, -GUARD), GUARD), 0.5));
    c.z = z / w;
    return c;
}

__device__ __forceinline__ float between(float inside, float outside, float t) {
    return __fadd_rn(inside, __fmul_rn(t, __fsub_rn(outside, inside)));
}

// Clip at the near plane z = -w: corners of the polygon, 0 if there is none. New corners run from the inside
// corner to the outside one, so that the two triangles of an edge get the same corner.
__device__ int clip_triangle(const float4* clip, const int (&index)[3], Corner (&polygon)[4], int width, int height) {
    float4 p[3];
    for (int k = 0; k < 3; k++) {
        p[k] = clip[index[k]];
        if (!isfinite(__fadd_rn(__fadd_rn(__fadd_rn(p[k].x, p[k].y), p[k].z), p[k].w))) return 0;
    }
    int count = 0;
    for (int k = 0; k < 3; k++) {
        float4 a = p[k], b = p[k == 2 ? 0 : k + 1];
        float da = __fadd_rn(a.z, a.w), db = __fadd_rn(b.z, b.w);
        if (da > 0.f) {
            if (!(a.w > 1e-12)) return 0;
            polygon[count++] = snap(a.x, a.y, a.z, a.w, width, height);
        }
        if ((da > 0.f) != (db > 0.f)) {
            float4 in = da > 0.f ? a : b, out = da > 0.f ? b : a;
            float high = fmaxf(da, db), t = __fdiv_rn(high, __fsub_rn(high, fminf(da, db)));
            float w = between(in.w, out.w, t);
            if (!(w > 1e-12)) return 0;
            polygon[count++] = snap(between(in.x, out.x, t), between(in.y, out.y, t), between(in.z, out.z, t), w, width, height);
        }
    }
    return count;
}

// --------------------------------------------------------------------------------------------- drawing
__device__ __forceinline__ int bias(int dx, int dy) {  // top-left rule: 0 if a centre on this edge is inside
    return (dy < 0 || (dy == 0 && dx < 0)) ? 0 : 1;
}

__device__ __forceinline__ u32 sortable(float z) {
    u32 bits = __float_as_uint(z + 0.f);  // -0 becomes 0
    return bits ^ ((bits >> 31) ? 0xffffffffu : 0x80000000u);
}

__device__ __forceinline__ void put(const Target& target, i64 pixel, double z, const Setup& s, u32 triangle) {
    float depth = (float)fmin(fmax(z, s.z_low), s.z_high);
    if (!(depth <= 1.f)) return;
    u64 key = ((u64)sortable(depth) << 32) | triangle;
    if (target.behind && key <= target.behind[pixel]) return;
    // Keys only fall: an old one from the cache may cost an atomic, never lose a fragment.
    if (key < target.keys[pixel]) atomicMin(target.keys + pixel, key);
}

// Rows [first, last] of column x. I: int if the triangle's extent is at most TILE pixels.
template <class I>
__device__ __forceinline__ void draw_column(const Target& target, const Setup& s, u32 triangle, int x, int first, int last) {
    int dx0 = s.bx - s.ax, dy0 = s.by - s.ay, dx1 = s.cx - s.bx, dy1 = s.cy - s.by, dx2 = s.ax - s.cx, dy2 = s.ay - s.cy;
    int px = x * SUBPIXELS + HALF, py = first * SUBPIXELS + HALF;
    I e0 = (I)dx0 * (py - s.ay) - (I)dy0 * (px - s.ax) - bias(dx0, dy0);
    I e1 = (I)dx1 * (py - s.by) - (I)dy1 * (px - s.bx) - bias(dx1, dy1);
    I e2 = (I)dx2 * (py - s.cy) - (I)dy2 * (px - s.cx) - bias(dx2, dy2);
    i64 pixel = (i64)first * target.width + x;
    for (int y = first; y <= last; y++) {
        if ((e0 | e1 | e2) >= 0) put(target, pixel, s.z + s.zx * (x - s.x_min) + s.zy * (y - s.y_min), s, triangle);
        e0 += (I)dx0 * SUBPIXELS;
        e1 += (I)dx1 * SUBPIXELS;
        e2 += (I)dx2 * SUBPIXELS;
        pixel += target.width;
    }
}

// Whether a tile may hold a centre inside: for each edge, its best corner is looked at.
__device__ __forceinline__ bool reaches(const Setup& s, int tile_x, int tile_y) {
    int x0 = tile_x * TILE * SUBPIXELS, x1 = x0 + TILE * SUBPIXELS, y0 = tile_y * TILE * SUBPIXELS, y1 = y0 + TILE * SUBPIXELS;
    int x[3] = {s.ax, s.bx, s.cx}, y[3] = {s.ay, s.by, s.cy};
    for (int k = 0; k < 3; k++) {
        int next = k == 2 ? 0 : k + 1, dx = x[next] - x[k], dy = y[next] - y[k];
        if ((i64)dx * ((dx > 0 ? y1 : y0) - y[k]) - (i64)dy * ((dy > 0 ? x0 : x1) - x[k]) < 0) return false;
    }
    return true;
}

__device__ void draw_tile(const Target& target, const Setup& s, u32 triangle, int tile_x, int tile_y, int column, int part, int parts) {
    int x = tile_x * TILE + column, rows = TILE / parts, y = tile_y * TILE + part * rows;
    if (x < s.x_min || x > s.x_max) return;
    draw_column<i64>(target, s, triangle, x, max(y, s.y_min), min(y + rows - 1, s.y_max));
}

// Items of the queue: (triangle, view, tile, which part of a clipped polygon's fan; 0 if unclipped).
__device__ void enqueue(const Target& target, const Setup& s, int triangle, int view, int part, int4* queue, u32* queue_count, u32 capacity) {
    for (int ty = s.y_min / TILE; ty <= s.y_max / TILE; ty++)
        for (int tx = s.x_min / TILE; tx <= s.x_max / TILE; tx++) {
            if (!reaches(s, tx, ty)) continue;
            u32 place = atomicAdd(queue_count, 1u);
            if (place < capacity) queue[place] = make_int4(triangle, view, tx | (ty << 16), part);
            else
                for (int column = 0; column < TILE; column++) draw_tile(target, s, triangle, tx, ty, column, 0, 1);
        }
}

// What one thread does with its triangle; returns how many columns are left for the block.
__device__ __forceinline__ int begin_triangle(const Target& target, const float4* clip, const WindowVertex* window, const int (&corner)[3], int triangle,
                              int view, int width, int height, int cull, Setup& s, int4* queue, u32* queue_count, u32 capacity) {
    WindowVertex a = window[corner[0]], b = window[corner[1]], c = window[corner[2]];
    if (!(a.snapped && b.snapped && c.snapped)) {
        Corner polygon[4];
        int count = clip_triangle(clip, corner, polygon, width, height);
        for (int k = 1; k + 1 < count; k++)
            if (set_up(s, polygon[0], polygon[k], polygon[k + 1], width, height, cull))
                enqueue(target, s, triangle, view, k, queue, queue_count, capacity);
        return 0;
    }
    if (!set_up(s, corner_of(a), corner_of(b), corner_of(c), width, height, cull)) return 0;
    int extent = max(max(max(a.x, b.x), c.x) - min(min(a.x, b.x), c.x), max(max(a.y, b.y), c.y) - min(min(a.y, b.y), c.y));
    if (extent > TILE * SUBPIXELS) {
        enqueue(target, s, triangle, view, 0, queue, queue_count, capacity);
        return 0;
    }
    int columns = s.x_max - s.x_min + 1, rows = s.y_max - s.y_min + 1;
    if (columns * rows > TINY) return columns * ((rows + SEGMENT - 1) / SEGMENT);
    for (int x = s.x_min; x <= s.x_max; x++) draw_column<int>(target, s, triangle, x, s.y_min, s.y_max);
    return 0;
}

// blockIdx.y: view. `triangles_of_block` <= THREADS: with few triangles, fewer a block fill the GPU better.
extern "C" __global__ void __launch_bounds__(THREADS)
draw_triangles(const float4* __restrict__ clip, const WindowVertex* __restrict__ window, const int* __restrict__ faces, u64* keys,
               const u64* __restrict__ behind, int face_count, int vertex_count, int width, int height, int cull,
               int triangles_of_block, int4* queue, u32* queue_count, u32 capacity) {
    __shared__ Setup setups[THREADS];
    __shared__ int before[THREADS + 1];  // columns of the triangles before each one
    __shared__ int warp_sums[THREADS / 32];
    int thread = threadIdx.x, lane = thread & 31, warp = thread >> 5, view = blockIdx.y;
    i64 picture = (i64)view * width * height;
    Target target = {keys + picture, behind ? behind + picture : 0, width};
    int first = blockIdx.x * triangles_of_block, corner[3], columns = 0;
    Setup mine;
    if (thread < triangles_of_block && first + thread < face_count && corners_of(faces, first + thread, vertex_count, corner)) {
        i64 row = (i64)view * vertex_count;
        columns = begin_triangle(target, clip + row, window + row, corner, first + thread, view, width, height, cull, mine,
                                 queue, queue_count, capacity);
        if (columns) setups[thread] = mine;
    }
    int sum = columns;
    for (int step = 1; step < 32; step <<= 1) {
        int other = __shfl_up_sync(ALL_LANES, sum, step);
        if (lane >= step) sum += other;
    }
    if (lane == 31) warp_sums[warp] = sum;
    __syncthreads();
    for (int w = 0; w < warp; w++) sum += warp_sums[w];
    before[thread + 1] = sum;
    if (thread == 0) before[0] = 0;
    __syncthreads();
    for (int item = thread; item < before[THREADS]; item += THREADS) {
        int low = 0, high = THREADS;  // the last triangle with before[low] <= item
        while (high - low > 1) {
            int middle = (low + high) >> 1;
            if (before[middle] <= item) low = middle;
            else high = middle;
        }
        const Setup& s = setups[low];
        int width_here = s.x_max - s.x_min + 1, local = item - before[low], segment = local / width_here;
        int y = s.y_min + segment * SEGMENT;
        draw_column<int>(target, s, first + low, s.x_min + local - segment * width_here, y, min(y + SEGMENT - 1, s.y_max));
    }
}

// 128 threads draw a tile: each half of one of its 64 columns.
extern "C" __global__ void __launch_bounds__(THREADS)
draw_queue(const float4* __restrict__ clip, const WindowVertex* __restrict__ window, const int* __restrict__ faces, u64* keys,
           const u64* __restrict__ behind, int vertex_count, int width, int height, int cull, const int4* __restrict__ queue,
           const u32* __restrict__ queue_count, u32 capacity) {
    u32 count = min(*queue_count, capacity);
    for (u32 i = blockIdx.x; i < count; i += gridDim.x) {
        int4 item = queue[i];
        i64 row = (i64)item.y * vertex_count, picture = (i64)item.y * width * height;
        int corner[3];
        corners_of(faces, item.x, vertex_count, corner);
        Setup s;
        if (item.w == 0) {
            const WindowVertex* v = window + row;
            set_up(s, corner_of(v[corner[0]]), corner_of(v[corner[1]]), corner_of(v[corner[2]]), width, height, cull);
        } else {
            Corner polygon[4];
            clip_triangle(clip + row, corner, polygon, width, height);
            set_up(s, polygon[0], polygon[item.w], polygon[item.w + 1], width, height, cull);
        }
        Target target = {keys + picture, behind ? behind + picture : 0, width};
        draw_tile(target, s, item.x, item.z & 0xffff, item.z >> 16, threadIdx.x & (TILE - 1), threadIdx.x / TILE, THREADS / TILE);
    }
}
