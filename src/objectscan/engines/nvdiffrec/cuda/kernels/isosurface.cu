// Dual marching cubes (FlexiCubes, Shen et al. 2023): count, scan, emit; then where vertices lie, and gradients.
//
// A cube is numbered like the grid point at its lowest corner: (x * Y + y) * Z + z. What a point has of each of five
// kinds (active cube, dual vertices, crossings, quads, used point) is counted into five sections of N numbers, which
// torch sums up: the sum before a point's own is where what it has is written.
#include "common.cuh"

#define LEAST_SQUARE 1e-12  // bounds the gradient by the field: an edge whose two ends are nearly 0 has no defined crossing

enum { CUBE, VERTEX, CROSSING, QUAD, POINT };

struct Grid { int x, y, z; };  // points along each axis

struct Tables { int groups[256], group_of_edge[256 * 12], ambiguous_face[256], edges[24], around[48]; };

struct Place { int x, y, z; bool is_cube; };

__device__ __forceinline__ Place place_of(i64 i, Grid n) {
    Place p;
    p.z = (int)(i % n.z);
    p.y = (int)(i / n.z % n.y);
    p.x = (int)(i / n.z / n.y);
    p.is_cube = p.x < n.x - 1 && p.y < n.y - 1 && p.z < n.z - 1;
    return p;
}

__device__ __forceinline__ i64 point_at(Grid n, int x, int y, int z) { return ((i64)x * n.y + y) * n.z + z; }

__device__ __forceinline__ i64 step_along(Grid n, int axis) { return axis == 0 ? (i64)n.y * n.z : axis == 1 ? n.z : 1; }

extern "C" __global__ void find_cases(const float* __restrict__ field, unsigned char* __restrict__ raw, Grid n, i64 count) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    Place p = place_of(i, n);
    int found = 0;
    for (int k = 0; p.is_cube && k < 8; k++)
        if (field[point_at(n, p.x + (k & 1), p.y + (k >> 1 & 1), p.z + (k >> 2))] < 0.f) found |= 1 << k;
    raw[i] = found;
}

__device__ __forceinline__ int resolved(const unsigned char* __restrict__ raw, const Tables* __restrict__ tables, Grid n, Place p, i64 i) {
    int own = raw[i], face = tables->ambiguous_face[own];
    if (face < 0) return own;
    int step = 2 * (face & 1) - 1, axis = face >> 1;
    int x = p.x + (axis == 0 ? step : 0), y = p.y + (axis == 1 ? step : 0), z = p.z + (axis == 2 ? step : 0);
    bool inside = x >= 0 && y >= 0 && z >= 0 && x < n.x - 1 && y < n.y - 1 && z < n.z - 1;
    return inside && tables->ambiguous_face[raw[point_at(n, x, y, z)]] >= 0 ? 255 - own : own;
}

// Whether the edge from a cube's lowest corner along an axis is crossed and has four cubes around it.
__device__ __forceinline__ bool has_quad(const float* __restrict__ field, Grid n, Place p, i64 i, int axis) {
    bool inner = (axis == 0 || p.x > 0) && (axis == 1 || p.y > 0) && (axis == 2 || p.z > 0);
    return inner && (field[i] < 0.f) != (field[i + step_along(n, axis)] < 0.f);
}

__device__ __forceinline__ bool is_used(const float* __restrict__ field, Grid n, Place p, i64 i) {
    bool inside = field[i] < 0.f;
    int at[3] = {p.x, p.y, p.z}, size[3] = {n.x, n.y, n.z};
    for (int axis = 0; axis < 3; axis++) {
        i64 step = step_along(n, axis);
        if (at[axis] > 0 && (field[i - step] < 0.f) != inside) return true;
        if (at[axis] < size[axis] - 1 && (field[i + step] < 0.f) != inside) return true;
    }
    return false;
}

extern "C" __global__ void count_parts(const float* __restrict__ field, const unsigned char* __restrict__ raw,
                                       const Tables* __restrict__ tables, unsigned char* __restrict__ cases, int* __restrict__ counts,
                                       Grid n, i64 count) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    Place p = place_of(i, n);
    int own = p.is_cube ? resolved(raw, tables, n, p, i) : 0, crossings = 0, quads = 0;
    bool active = own > 0 && own < 255;
    for (int edge = 0; active && edge < 12; edge++) crossings += tables->group_of_edge[12 * own + edge] >= 0;
    for (int axis = 0; active && axis < 3; axis++) quads += has_quad(field, n, p, i, axis);
    cases[i] = own;
    counts[CUBE * count + i] = active;
    counts[VERTEX * count + i] = active ? tables->groups[own] : 0;
    counts[CROSSING * count + i] = crossings;
    counts[QUAD * count + i] = quads;
    counts[POINT * count + i] = is_used(field, n, p, i);
}

// How many of a kind come before point i; `sums` includes i.
__device__ __forceinline__ int before(const int* __restrict__ sums, int kind, i64 i, i64 count) {
    i64 flat = kind * count + i;
    return (flat ? sums[flat - 1] : 0) - (kind ? sums[kind * count - 1] : 0);
}

struct Surface {
    i64 *points, *cubes;
    int *start, *cube, *edge, *first, *second, *quads;
};

extern "C" __global__ void emit_parts(const float* __restrict__ field, const unsigned char* __restrict__ cases,
                                      const Tables* __restrict__ tables, const int* __restrict__ sums, Surface surface, Grid n, i64 count) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    Place p = place_of(i, n);
    int point = before(sums, POINT, i, count);
    if (before(sums, POINT, i + 1, count) > point) surface.points[point] = i;
    int own = cases[i];
    if (own == 0 || own == 255) return;
    int cube = before(sums, CUBE, i, count), vertex = before(sums, VERTEX, i, count), at = before(sums, CROSSING, i, count);
    surface.cubes[cube] = ((i64)p.x * (n.y - 1) + p.y) * (n.z - 1) + p.z;
    if (vertex == 0) surface.start[0] = 0;
    for (int group = 0; group < tables->groups[own]; group++) {
        for (int edge = 0; edge < 12; edge++) {
            if (tables->group_of_edge[12 * own + edge] != group) continue;
            int a = tables->edges[2 * edge], b = tables->edges[2 * edge + 1];
            i64 first = point_at(n, p.x + (a & 1), p.y + (a >> 1 & 1), p.z + (a >> 2));
            i64 second = point_at(n, p.x + (b & 1), p.y + (b >> 1 & 1), p.z + (b >> 2));
            surface.edge[at] = edge;
            surface.first[at] = before(sums, POINT, first, count);
            surface.second[at] = before(sums, POINT, second, count);
            at++;
        }
        surface.cube[vertex] = cube;
        surface.start[++vertex] = at;
    }
    int quad = before(sums, QUAD, i, count);
    for (int axis = 0; axis < 3; axis++) {
        if (!has_quad(field, n, p, i, axis)) continue;
        for (int k = 0; k < 4; k++) {
            const int* around = tables->around + 4 * (4 * axis + k);
            i64 other = point_at(n, p.x - around[0], p.y - around[1], p.z - around[2]);
            int number = before(sums, VERTEX, other, count) + tables->group_of_edge[12 * cases[other] + around[3]];
            surface.quads[4 * (i64)quad + (field[i] < 0.f ? k : 3 - k)] = number;
        }
        quad++;
    }
}

// --------------------------------------------------------------------------------- where the vertices lie

struct Crossings { const int *start, *cube, *edge, *first, *second; };

struct Crossing { int a, b, ka, kb, edge; double sa, sb, t; };

__device__ __forceinline__ Crossing crossing_at(const Crossings& c, int e, const float* __restrict__ field, const float* __restrict__ weights,
                                                const Tables* __restrict__ tables) {
    Crossing x;
    x.a = c.first[e], x.b = c.second[e], x.edge = c.edge[e];
    x.ka = tables->edges[2 * x.edge], x.kb = tables->edges[2 * x.edge + 1];
    x.sa = (double)field[x.a] * weights[x.ka], x.sb = (double)field[x.b] * weights[x.kb];
    x.t = x.sa / (x.sa - x.sb);
    return x;
}

extern "C" __global__ void place_vertices(const float* __restrict__ points, const float* __restrict__ field,
                                          const float* __restrict__ weights, Crossings crossings, const Tables* __restrict__ tables,
                                          float* __restrict__ vertices, int count) {
    int d = blockIdx.x * blockDim.x + threadIdx.x;
    if (d >= count) return;
    const float* row = weights + 20 * (i64)crossings.cube[d];
    double sum[3] = {0.0, 0.0, 0.0}, total = 0.0;
    for (int e = crossings.start[d]; e < crossings.start[d + 1]; e++) {
        Crossing x = crossing_at(crossings, e, field, row, tables);
        double beta = row[8 + x.edge];
        for (int k = 0; k < 3; k++) sum[k] += beta * (points[3 * (i64)x.a + k] * (1.0 - x.t) + points[3 * (i64)x.b + k] * x.t);
        total += beta;
    }
    for (int k = 0; k < 3; k++) vertices[3 * (i64)d + k] = (float)(sum[k] / total);
}

extern "C" __global__ void place_vertices_backward(const float* __restrict__ points, const float* __restrict__ field,
                                                   const float* __restrict__ weights, Crossings crossings,
                                                   const Tables* __restrict__ tables, const float* __restrict__ vertices,
                                                   const float* __restrict__ upstream, float* __restrict__ points_grad,
                                                   float* __restrict__ field_grad, float* __restrict__ weights_grad, int count) {
    int d = blockIdx.x * blockDim.x + threadIdx.x;
    if (d >= count) return;
    const float *row = weights + 20 * (i64)crossings.cube[d], *g = upstream + 3 * (i64)d;
    float* row_grad = weights_grad + 20 * (i64)crossings.cube[d];
    double total = 0.0;
    for (int e = crossings.start[d]; e < crossings.start[d + 1]; e++) total += row[8 + crossings.edge[e]];
    for (int e = crossings.start[d]; e < crossings.start[d + 1]; e++) {
        Crossing x = crossing_at(crossings, e, field, row, tables);
        double share = row[8 + x.edge] / total, along = 0.0, offset = 0.0;
        for (int k = 0; k < 3; k++) {
            double a = points[3 * (i64)x.a + k], difference = points[3 * (i64)x.b + k] - a;
            along += g[k] * difference;
            offset += g[k] * (a + x.t * difference - vertices[3 * (i64)d + k]);
            atomicAdd(points_grad + 3 * (i64)x.a + k, (float)(g[k] * share * (1.0 - x.t)));
            atomicAdd(points_grad + 3 * (i64)x.b + k, (float)(g[k] * share * x.t));
        }
        // dt/dsa = -sb / (sa - sb)^2, dt/dsb = sa / (sa - sb)^2
        double square = (x.sa - x.sb) * (x.sa - x.sb), scale = along * share / (square > LEAST_SQUARE ? square : LEAST_SQUARE);
        atomicAdd(field_grad + x.a, (float)(-x.sb * scale * row[x.ka]));
        atomicAdd(field_grad + x.b, (float)(x.sa * scale * row[x.kb]));
        atomicAdd(row_grad + x.ka, (float)(-x.sb * scale * field[x.a]));
        atomicAdd(row_grad + x.kb, (float)(x.sa * scale * field[x.b]));
        atomicAdd(row_grad + 8 + x.edge, (float)(offset / total));
    }
}

// L_dev (section 4.3): adds its value to *loss, and its gradients.
extern "C" __global__ void deviate(const float* __restrict__ points, const float* __restrict__ field, Crossings crossings,
                                   const float* __restrict__ vertices, float* __restrict__ points_grad, float* __restrict__ field_grad,
                                   float* __restrict__ vertices_grad, float* __restrict__ loss, int count) {
    int d = blockIdx.x * blockDim.x + threadIdx.x;
    double own = 0.0;
    if (d < count) {
        int first = crossings.start[d], size = min(crossings.start[d + 1] - first, 12);
        double distance[12], mean = 0.0, balance = 0.0;
        float to[12][3];
        for (int i = 0; i < size; i++) {
            int a = crossings.first[first + i], b = crossings.second[first + i];
            double t = field[a] / ((double)field[a] - field[b]), square = 0.0;
            for (int k = 0; k < 3; k++) {
                double at = points[3 * (i64)a + k] * (1.0 - t) + points[3 * (i64)b + k] * t;
                to[i][k] = (float)(vertices[3 * (i64)d + k] - at);
                square += (double)to[i][k] * to[i][k];
            }
            distance[i] = sqrt(square);
            mean += distance[i] / size;
        }
        for (int i = 0; i < size; i++) {
            double off = distance[i] - mean;
            own += (off < 0.0 ? -off : off) / size / count;
            balance += (off > 0.0 ? 1.0 : off < 0.0 ? -1.0 : 0.0) / size;
        }
        for (int i = 0; i < size; i++) {
            if (distance[i] == 0.0) continue;
            int a = crossings.first[first + i], b = crossings.second[first + i];
            double off = distance[i] - mean, sign = off > 0.0 ? 1.0 : off < 0.0 ? -1.0 : 0.0;
            double slope = (sign - balance) / ((double)size * count * distance[i]);
            double fa = field[a], fb = field[b], t = fa / (fa - fb), g_t = 0.0;
            for (int k = 0; k < 3; k++) {
                double g = slope * to[i][k];
                vertices_grad[3 * (i64)d + k] += (float)g;
                atomicAdd(points_grad + 3 * (i64)a + k, (float)(-g * (1.0 - t)));
                atomicAdd(points_grad + 3 * (i64)b + k, (float)(-g * t));
                g_t -= g * ((double)points[3 * (i64)b + k] - points[3 * (i64)a + k]);
            }
            double square = (fa - fb) * (fa - fb);
            if (square < LEAST_SQUARE) square = LEAST_SQUARE;
            atomicAdd(field_grad + a, (float)(g_t * -fb / square));
            atomicAdd(field_grad + b, (float)(g_t * fa / square));
        }
    }
    float sum = (float)own;
    for (int step = 16; step; step >>= 1) sum += __shfl_xor_sync(ALL_LANES, sum, step);
    if ((threadIdx.x & 31) == 0 && sum != 0.f) atomicAdd(loss, sum);
}

// Two triangles a quad, split along the shorter diagonal.
extern "C" __global__ void triangulate(const int* __restrict__ quads, const float* __restrict__ vertices, int* __restrict__ faces, int count) {
    int q = blockIdx.x * blockDim.x + threadIdx.x;
    if (q >= count) return;
    const int* quad = quads + 4 * (i64)q;
    float across = 0.f, along = 0.f;
    for (int k = 0; k < 3; k++) {
        float one = vertices[3 * (i64)quad[0] + k] - vertices[3 * (i64)quad[2] + k];
        float other = vertices[3 * (i64)quad[1] + k] - vertices[3 * (i64)quad[3] + k];
        across += one * one;
        along += other * other;
    }
    int shift = across <= along ? 0 : 1;
    for (int k = 0; k < 3; k++) {
        faces[6 * (i64)q + k] = quad[(k + shift) & 3];
        faces[6 * (i64)q + 3 + k] = quad[(((k + 2) & 3) + shift) & 3];
    }
}
