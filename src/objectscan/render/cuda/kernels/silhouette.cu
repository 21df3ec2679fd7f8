// The walk to the silhouette, and the blend of pixel pairs that a silhouette separates.
//
// Pairs go to a list that the blend and the way back work off. A list that is too short is noticed: both then find
// all pairs again, which takes longer and gives the same.
#include "common.cuh"

struct Scene {
    const float4* clip;       // [N, V]
    const int* faces;
    const int* adjacency;     // triangle across the edge opposite to each corner, or -1
    const int* triangles;     // [N, H, W]
    const float* depth;
    int vertex_count, width, height, views, max_steps, padding;
};

struct __align__(16) Pair {
    i64 changed;              // flat pixel << 3 | changed is the near one << 2 | direction to the source (+x -x +y -y)
    u32 edge;                 // 3 triangle + opposite corner
    float crossing;           // where between the near and the far centre the edge crosses
};

struct Placed { double across, along, w; };  // times w: distance from a pair's line, position on it

// A pair's line runs along `axis` at the NDC coordinate `across`; positions count from `along`, in units of `step`.
struct Line { int axis; double across, along, step; };

__device__ __forceinline__ Placed place(float4 p, const Line& line) {
    Placed q;
    q.w = p.w;
    q.across = (line.axis ? p.x : p.y) - line.across * q.w;
    q.along = (line.axis ? p.y : p.x) - line.along * q.w;
    return q;
}

// Where the edge between two placed vertices crosses the line; infinite if it doesn't.
__device__ __forceinline__ double crossing(const Placed& a, const Placed& b, double step) {
    double begin = a.along * b.across - b.along * a.across, change = step * (a.w * b.across - b.w * a.across);
    return change != 0.0 ? begin / change : (double)__int_as_float(0x7f800000);
}

// Side of corner c of the plane through the eye and edge ab: the determinant of the rows (x, y, w).
__device__ __forceinline__ double turn_of(float4 a, float4 b, float4 c) {
    double ax = a.x, ay = a.y, aw = a.w;
    return c.x * (ay * b.w - aw * b.y) + c.y * (aw * b.x - ax * b.w) + c.w * (ax * b.y - ay * b.x);
}

// Whether two triangles share an edge that the line crosses between the centres: no silhouette is there. What `walk`
// would find in its first step, for a third of its cost: most pairs inside a surface are such.
__device__ __forceinline__ bool are_joined(const Scene& s, const float4* clip, int near, int far, const Line& line) {
    if (far < 0) return false;
    for (int k = 0; k < 3; k++) {
        if (s.adjacency[3 * (i64)near + k] != far) continue;
        Placed a = place(clip[s.faces[3 * (i64)near + (k == 2 ? 0 : k + 1)]], line);
        Placed b = place(clip[s.faces[3 * (i64)near + (k == 0 ? 2 : k - 1)]], line);
        if ((a.across >= 0) == (b.across >= 0)) return false;
        double t = crossing(a, b, line.step);
        return t >= 0.0 && t <= 1.0;
    }
    return false;
}

// Follow the line from the near centre, in triangle `current`, to a silhouette on the way. The line is cut by the plane
// through the eye and both centres: the walk follows that cut of the surface from triangle to triangle, leaving each
// by its edge whose ends lie on different sides of the plane. One new vertex a step.
//
// False if there is no silhouette before the far centre, before triangle `stop`, or within max_steps. Otherwise the
// silhouette edge is opposite to `corner` of `current`, and runs between vertices a and b.
__device__ bool walk(const Scene& s, const float4* clip, int& current, int stop, const Line& line, int& corner, int& a, int& b, double& t) {
    int i = s.faces[3 * (i64)current], j = s.faces[3 * (i64)current + 1], k = s.faces[3 * (i64)current + 2];
    Placed pi = place(clip[i], line), pj = place(clip[j], line), pk = place(clip[k], line);
    bool si = pi.across >= 0, sj = pj.across >= 0, sk = pk.across >= 0;
    // The corner that is alone on its side touches both edges that the line crosses. Leave by the later one.
    int lone, first, second;
    Placed p_lone, p_first, p_second;
    if (si == sj) {
        if (sk == si) return false;
        lone = k; first = i; second = j; p_lone = pk; p_first = pi; p_second = pj;
    } else if (si == sk) {
        lone = j; first = k; second = i; p_lone = pj; p_first = pk; p_second = pi;
    } else {
        lone = i; first = j; second = k; p_lone = pi; p_first = pj; p_second = pk;
    }
    double t_first = crossing(p_lone, p_first, line.step), t_second = crossing(p_lone, p_second, line.step);
    bool by_first = t_first > t_second;
    a = lone;
    b = by_first ? first : second;
    int c = by_first ? second : first;
    Placed pa = p_lone, pb = by_first ? p_first : p_second;
    t = by_first ? t_first : t_second;
    double turn = turn_of(clip[a], clip[b], clip[c]);
    for (int step = 0; step < s.max_steps; step++) {
        if (turn == 0.0 || !(t <= 1.0)) return false;
        corner = s.faces[3 * (i64)current] == c ? 0 : s.faces[3 * (i64)current + 1] == c ? 1 : 2;
        int beyond = s.adjacency[3 * (i64)current + corner];
        if (beyond < 0) return true;
        int opposite = s.faces[3 * (i64)beyond] + s.faces[3 * (i64)beyond + 1] + s.faces[3 * (i64)beyond + 2] - a - b;
        float4 p = clip[opposite];
        double turn_beyond = turn_of(clip[a], clip[b], p);
        if ((turn > 0) == (turn_beyond > 0)) return true;  // both triangles on one side: the surface folds back
        if (beyond == stop) return false;
        Placed placed = place(p, line);
        turn = -turn_beyond;  // det(a, opposite, b) = -det(a, b, opposite), and so is det(opposite, b, a)
        if ((placed.across >= 0) == (pa.across >= 0)) {
            c = a; a = opposite; pa = placed;
        } else {
            c = b; b = opposite; pb = placed;
        }
        t = crossing(pa, pb, line.step);
        current = beyond;
    }
    return false;
}

// Edge nearer to the vertical on screen. Horizontal pairs use steep edges only, vertical pairs the others: a silhouette
// of any slope then counts once and d(area)/d(offset) is exact (without: 1.9 to 2.05 times too large).
__device__ __forceinline__ bool is_steep(float4 a, float4 b, int width, int height) {
    double dx = (double)__fsub_rn(__fmul_rn(b.x, a.w), __fmul_rn(a.x, b.w)) * width;
    double dy = (double)__fsub_rn(__fmul_rn(b.y, a.w), __fmul_rn(a.y, b.w)) * height;
    return fabs(dy) >= fabs(dx);
}

// Looks at the pair of pixel (x, y) and its right (direction 0) or lower (1) neighbour.
__device__ bool find_pair(const Scene& s, int view, int x, int y, int direction, i64 pixel, int own, Pair& pair) {
    int x2 = x + 1 - direction, y2 = y + direction;
    if (x2 >= s.width || y2 >= s.height) return false;
    i64 other = pixel + (direction ? s.width : 1);
    int theirs = s.triangles[other];
    if (own == theirs) return false;
    bool forward = !(own < 0 || (theirs >= 0 && s.depth[other] < s.depth[pixel]));  // is the first pixel the near one?
    int near = forward ? own : theirs, far = forward ? theirs : own;
    double along = direction ? centre(forward ? y : y2, s.height) : centre(forward ? x : x2, s.width);
    Line line = {direction, direction ? centre(x, s.width) : centre(y, s.height), along,
                 (forward ? 2.0 : -2.0) / (direction ? s.height : s.width)};
    const float4* clip = s.clip + (i64)view * s.vertex_count;
    if (are_joined(s, clip, near, far, line)) return false;
    int current = near, corner, a, b;
    double t;
    if (!walk(s, clip, current, far, line, corner, a, b, t)) return false;
    if (is_steep(clip[a], clip[b], s.width, s.height) != (direction == 0)) return false;
    t = t > 0.0 ? t : 0.0;
    bool changes_near = t < 0.5, changes_first = changes_near == forward;
    i64 changed = changes_first ? pixel : other;
    int towards = direction * 2 + (changes_first ? 0 : 1);
    pair.changed = changed << 3 | (changes_near ? 4 : 0) | towards;
    pair.edge = (u32)current * 3u + (u32)corner;
    pair.crossing = (float)t;
    return true;
}

template <class Found>
__device__ __forceinline__ void for_pairs_of(const Scene& s, int view, int x, int y, Found found) {
    i64 pixel = ((i64)view * s.height + y) * s.width + x;
    int own = s.triangles[pixel];
    for (int direction = 0; direction < 2; direction++) {
        Pair pair;
        if (find_pair(s, view, x, y, direction, pixel, own, pair)) found(pair);
    }
}

extern "C" __global__ void find_pairs(Scene s, Pair* __restrict__ list, u32* count, u32 capacity) {
    int x = PIXEL_X, y = PIXEL_Y;
    if (x >= s.width || y >= s.height) return;
    for_pairs_of(s, blockIdx.z, x, y, [=](const Pair& pair) {
        u32 place = atomicAdd(count, 1u);
        if (place < capacity) list[place] = pair;
    });
}

// Every pair once: from the list, or found again if the list was too short.
template <class Found>
__device__ __forceinline__ void for_all_pairs(const Scene& s, const Pair* __restrict__ list, const u32* count, u32 capacity, Found found) {
    i64 first = (i64)blockIdx.x * blockDim.x + threadIdx.x, step = (i64)gridDim.x * blockDim.x;
    u32 listed = *count;
    if (listed <= capacity) {
        for (i64 i = first; i < listed; i += step) found(list[i]);
        return;
    }
    i64 pixels = (i64)s.views * s.height * s.width;
    for (i64 p = first; p < pixels; p += step) {
        i64 row = p / s.width;
        for_pairs_of(s, (int)(row / s.height), (int)(p - row * s.width), (int)(row % s.height), found);
    }
}

__device__ __forceinline__ i64 source_of(const Pair& pair, int width) {
    int towards = (int)(pair.changed & 3);
    i64 offset = towards >= 2 ? width : 1;
    return (pair.changed >> 3) + (towards & 1 ? -offset : offset);
}

// blended, a copy of the image, gets |s - 1/2| (image[source] - image[changed]) added at the changed pixels.
extern "C" __global__ void blend_pairs(Scene s, const Pair* __restrict__ list, const u32* __restrict__ count, u32 capacity,
                                       const float* __restrict__ image, float* blended, int channels) {
    for_all_pairs(s, list, count, capacity, [=](const Pair& pair) {
        i64 changed = (pair.changed >> 3) * channels, source = source_of(pair, s.width) * channels;
        float weight = fabsf(pair.crossing - 0.5f);
        for (int c = 0; c < channels; c++) atomicAdd(blended + changed + c, weight * (image[source + c] - image[changed + c]));
    });
}

__device__ __forceinline__ double side_of(float4 a, float4 b, double fx, double fy) {
    return (a.x - fx * a.w) * (b.y - fy * b.w) - (a.y - fy * a.w) * (b.x - fx * b.w);
}

// Adds to clip_grad what `dot`, the gradient in the pair's weight, means for the edge.
//
// s = e0 / (e0 - e1): ds/de0 = -e1 / (e0 - e1)^2, ds/de1 = e0 / (e0 - e1)^2, with e = q_a x q_b at the near and the
// far centre.
__device__ __forceinline__ void crossing_gradient(const Scene& s, const Pair& pair, float dot, float* clip_grad) {
    i64 changed = pair.changed >> 3, row = changed / s.width;
    int view = (int)(row / s.height), y = (int)(row % s.height), x = (int)(changed - row * s.width);
    int towards = (int)(pair.changed & 3), shift = towards & 1 ? -1 : 1;
    int x2 = towards < 2 ? x + shift : x, y2 = towards < 2 ? y : y + shift;
    bool changed_is_near = (pair.changed & 4) != 0;
    double near_x = centre(changed_is_near ? x : x2, s.width), near_y = centre(changed_is_near ? y : y2, s.height);
    double far_x = centre(changed_is_near ? x2 : x, s.width), far_y = centre(changed_is_near ? y2 : y, s.height);
    i64 triangle = pair.edge / 3;
    int corner = (int)(pair.edge % 3);
    i64 row_a = (i64)view * s.vertex_count + s.faces[3 * triangle + (corner == 2 ? 0 : corner + 1)];
    i64 row_b = (i64)view * s.vertex_count + s.faces[3 * triangle + (corner == 0 ? 2 : corner - 1)];
    float4 a = s.clip[row_a], b = s.clip[row_b];
    double e0 = side_of(a, b, near_x, near_y), e1 = side_of(a, b, far_x, far_y), change = e0 - e1;
    if (change == 0.0) return;
    double scale = (changed_is_near ? -dot : dot) / (change * change);
    double ga[3] = {0.0, 0.0, 0.0}, gb[3] = {0.0, 0.0, 0.0};
    for (int end = 0; end < 2; end++) {
        double h = end ? e0 * scale : -e1 * scale, fx = end ? far_x : near_x, fy = end ? far_y : near_y;
        double ax = a.x - fx * a.w, ay = a.y - fy * a.w, bx = b.x - fx * b.w, by = b.y - fy * b.w;
        ga[0] += h * by;
        ga[1] -= h * bx;
        ga[2] += h * (fy * bx - fx * by);
        gb[0] -= h * ay;
        gb[1] += h * ax;
        gb[2] += h * (fx * ay - fy * ax);
    }
    for (int k = 0; k < 3; k++) {
        atomicAdd(clip_grad + row_a * 4 + (k == 2 ? 3 : k), (float)ga[k]);
        atomicAdd(clip_grad + row_b * 4 + (k == 2 ? 3 : k), (float)gb[k]);
    }
}

// Way back of `blend_pairs`. image_grad holds a copy of `upstream` (or is 0), clip_grad zeros (or is 0).
extern "C" __global__ void blend_pairs_backward(Scene s, const Pair* __restrict__ list, const u32* __restrict__ count, u32 capacity,
                                                const float* __restrict__ image, const float* __restrict__ upstream, float* image_grad,
                                                float* clip_grad, int channels) {
    for_all_pairs(s, list, count, capacity, [=](const Pair& pair) {
        i64 changed = (pair.changed >> 3) * channels, source = source_of(pair, s.width) * channels;
        float weight = fabsf(pair.crossing - 0.5f), dot = 0.f;
        for (int c = 0; c < channels; c++) {
            float g = upstream[changed + c];
            if (g == 0.f) continue;
            dot += g * (image[source + c] - image[changed + c]);
            if (!image_grad) continue;
            atomicAdd(image_grad + source + c, weight * g);
            atomicAdd(image_grad + changed + c, -weight * g);
        }
        if (clip_grad && dot != 0.f && pair.crossing > 0.f && pair.crossing < 1.f) crossing_gradient(s, pair, dot, clip_grad);
    });
}
