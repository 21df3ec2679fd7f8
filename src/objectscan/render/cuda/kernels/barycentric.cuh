// Perspective-correct barycentrics at a pixel centre, their screen derivatives, and the way back to positions.
//
// With q_k = (x_k - fx w_k, y_k - fy w_k) for corner k at the NDC centre (fx, fy), E_0 = q_1 x q_2 and cyclic,
// S = E_0 + E_1 + E_2: u = E_0 / S, v = E_1 / S. No division by w; right also for corners behind the camera
// (Olano and Greer 1997). In double: S of a triangle seen edge-on cancels, and its derivatives grow with 1 / S.
// In float the derivatives of such pixels were off by more than their size, 40 to 60 % of the picture's norm.
#pragma once
#include "common.cuh"

struct Edges { double ax, ay, bx, by, cx, cy, e0, e1, e2; };
struct Slopes { double x0, x1, x2, y0, y1, y2; };  // dE_k / dfx, dE_k / dfy

__device__ __forceinline__ Edges edges_at(float4 a, float4 b, float4 c, double fx, double fy) {
    Edges q;
    q.ax = a.x - fx * a.w; q.ay = a.y - fy * a.w;
    q.bx = b.x - fx * b.w; q.by = b.y - fy * b.w;
    q.cx = c.x - fx * c.w; q.cy = c.y - fy * c.w;
    q.e0 = q.bx * q.cy - q.by * q.cx;
    q.e1 = q.cx * q.ay - q.cy * q.ax;
    q.e2 = q.ax * q.by - q.ay * q.bx;
    return q;
}

__device__ __forceinline__ Slopes slopes_at(const Edges& q, double w0, double w1, double w2) {
    Slopes d;
    d.x0 = q.by * w2 - w1 * q.cy; d.x1 = q.cy * w0 - w2 * q.ay; d.x2 = q.ay * w1 - w0 * q.by;
    d.y0 = w1 * q.cx - q.bx * w2; d.y1 = w2 * q.ax - q.cx * w0; d.y2 = w0 * q.bx - q.ax * w1;
    return d;
}

// Gradient in (x, y, w) of the three corners, value[0..8], of a pixel's gradient in (u, v) and, if WITH_SLOPES, in
// (du/dX, du/dY, dv/dX, dv/dY). Adds.
template <bool WITH_SLOPES>
__device__ __forceinline__ void add_position_gradient(float4 a, float4 b, float4 c, int x, int y, int width, int height, double gu,
                                                      double gv, float4 from_slopes, float (&value)[16]) {
    double fx = centre(x, width), fy = centre(y, height);
    Edges q = edges_at(a, b, c, fx, fy);
    double total = q.e0 + q.e1 + q.e2;
    if (total == 0.0) return;
    double r = 1.0 / total, u = q.e0 * r, v = q.e1 * r, to_total = 0.0;
    double gax = 0.0, gay = 0.0, gaw = 0.0, gbx = 0.0, gby = 0.0, gbw = 0.0, gcx = 0.0, gcy = 0.0, gcw = 0.0;
    if (WITH_SLOPES) {
        // derivative = (D - u S') k r with D, S' linear in q and w: product rule backwards.
        double w0 = a.w, w1 = b.w, w2 = c.w;
        Slopes d = slopes_at(q, w0, w1, w2);
        double sx = d.x0 + d.x1 + d.x2, sy = d.y0 + d.y1 + d.y2;
        double ux = from_slopes.x * 2.0 / width, uy = from_slopes.y * 2.0 / height;
        double vx = from_slopes.z * 2.0 / width, vy = from_slopes.w * 2.0 / height;
        double to_r = ux * (d.x0 - u * sx) + uy * (d.y0 - u * sy) + vx * (d.x1 - v * sx) + vy * (d.y1 - v * sy);
        gu -= r * (ux * sx + uy * sy);
        gv -= r * (vx * sx + vy * sy);
        double tx = -r * (ux * u + vx * v), ty = -r * (uy * u + vy * v);
        double h0x = r * ux + tx, h1x = r * vx + tx, h2x = tx, h0y = r * uy + ty, h1y = r * vy + ty, h2y = ty;
        gax = h1y * w2 - h2y * w1; gay = h2x * w1 - h1x * w2;
        gbx = h2y * w0 - h0y * w2; gby = h0x * w2 - h2x * w0;
        gcx = h0y * w1 - h1y * w0; gcy = h1x * w0 - h0x * w1;
        gaw = h1x * q.cy - h2x * q.by - h1y * q.cx + h2y * q.bx;
        gbw = h2x * q.ay - h0x * q.cy + h0y * q.cx - h2y * q.ax;
        gcw = h0x * q.by - h1x * q.ay - h0y * q.bx + h1y * q.ax;
        to_total = -r * r * to_r;
    }
    double dot = gu * u + gv * v;
    double h0 = (gu - dot) * r + to_total, h1 = (gv - dot) * r + to_total, h2 = to_total - dot * r;
    gax += h2 * q.by - h1 * q.cy; gay += h1 * q.cx - h2 * q.bx;
    gbx += h0 * q.cy - h2 * q.ay; gby += h2 * q.ax - h0 * q.cx;
    gcx += h1 * q.ay - h0 * q.by; gcy += h0 * q.bx - h1 * q.ax;
    value[0] += (float)gax; value[1] += (float)gay; value[2] += (float)(gaw - fx * gax - fy * gay);
    value[3] += (float)gbx; value[4] += (float)gby; value[5] += (float)(gbw - fx * gbx - fy * gby);
    value[6] += (float)gcx; value[7] += (float)gcy; value[8] += (float)(gcw - fx * gcx - fy * gcy);
}

// The same gradient, from (u, v) only, of several pixels of one triangle. dL/dE_k of a pixel, h_k, is all that it adds:
// E_k is linear in the pixel's place, so that the sums of h_k, h_k dx and h_k dy hold every corner's gradient. Places
// count from one of the pixels: what the sums leave is then no difference of large numbers, and floats do.
struct TriangleGradient {
    double e[3], along_x[3], along_y[3];         // E_0, E_1 and their sum S where places count from; changes a pixel
    float ax, ay, bx, by, cx, cy;                // q_k there
    float aw, bw, cw, fx, fy, step_x, step_y;
    int x, y;
    float h[3], hx[3], hy[3];
};

__device__ __forceinline__ void begin_gradient(TriangleGradient& t, float4 a, float4 b, float4 c, int x, int y, int width, int height) {
    double fx = centre(x, width), fy = centre(y, height), step_x = 2.0 / width, step_y = 2.0 / height;
    Edges q = edges_at(a, b, c, fx, fy);
    Slopes d = slopes_at(q, a.w, b.w, c.w);
    t.along_x[0] = d.x0 * step_x; t.along_x[1] = d.x1 * step_x; t.along_x[2] = (d.x0 + d.x1 + d.x2) * step_x;
    t.along_y[0] = d.y0 * step_y; t.along_y[1] = d.y1 * step_y; t.along_y[2] = (d.y0 + d.y1 + d.y2) * step_y;
    t.e[0] = q.e0; t.e[1] = q.e1; t.e[2] = q.e0 + q.e1 + q.e2;
    t.ax = (float)q.ax; t.ay = (float)q.ay; t.bx = (float)q.bx; t.by = (float)q.by; t.cx = (float)q.cx; t.cy = (float)q.cy;
    t.aw = a.w; t.bw = b.w; t.cw = c.w;
    t.fx = (float)fx; t.fy = (float)fy;
    t.step_x = (float)step_x; t.step_y = (float)step_y;
    t.x = x; t.y = y;
    for (int k = 0; k < 3; k++) t.h[k] = t.hx[k] = t.hy[k] = 0.f;
}

__device__ __forceinline__ void add_pixel(TriangleGradient& t, int x, int y, float gu, float gv) {
    double right = x - t.x, down = y - t.y;
    float total = (float)(t.e[2] + right * t.along_x[2] + down * t.along_y[2]);
    if (!(fabsf(total) > 1e-30f)) return;
    float r = 1.f / total, dx = (float)right * t.step_x, dy = (float)down * t.step_y;
    float u = (float)(t.e[0] + right * t.along_x[0] + down * t.along_y[0]) * r;
    float v = (float)(t.e[1] + right * t.along_x[1] + down * t.along_y[1]) * r;
    float dot = gu * u + gv * v, h[3] = {(gu - dot) * r, (gv - dot) * r, -dot * r};
#pragma unroll
    for (int k = 0; k < 3; k++) {
        t.h[k] += h[k];
        t.hx[k] += h[k] * dx;
        t.hy[k] += h[k] * dy;
    }
}

// (x, y, w) of the corner whose edges to corners p and q change E_i and E_j.
__device__ __forceinline__ void corner_gradient(const TriangleGradient& t, float px, float py, float pw, int i, float qx, float qy, float qw,
                                                int j, float* value) {
    float x = t.h[i] * py - t.hy[i] * pw - t.h[j] * qy + t.hy[j] * qw;
    float y = t.h[j] * qx - t.hx[j] * qw - t.h[i] * px + t.hx[i] * pw;
    value[0] = x;
    value[1] = y;
    value[2] = -(t.fx * x + t.fy * y) - (t.hx[i] * py - t.hy[i] * px - t.hx[j] * qy + t.hy[j] * qx);
}

__device__ __forceinline__ void end_gradient(const TriangleGradient& t, float (&value)[16]) {
    corner_gradient(t, t.bx, t.by, t.bw, 2, t.cx, t.cy, t.cw, 1, value);
    corner_gradient(t, t.cx, t.cy, t.cw, 0, t.ax, t.ay, t.aw, 2, value + 3);
    corner_gradient(t, t.ax, t.ay, t.aw, 1, t.bx, t.by, t.bw, 0, value + 6);
}

// Adds (x, y, w) of one corner.
__device__ __forceinline__ void add_corner(float* grad, float x, float y, float w) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    atomicAdd((float4*)grad, make_float4(x, y, 0.f, w));  // one reduction of 16 bytes instead of three
#else
    atomicAdd(grad, x);
    atomicAdd(grad + 1, y);
    atomicAdd(grad + 3, w);
#endif
}

// Adds the nine values to the gradients [V, 4] of the corners in rows a, b, c.
__device__ __forceinline__ void scatter_positions(Groups groups, const float (&value)[16], float* clip_grad, i64 a, i64 b, i64 c) {
    if (groups.alone) {
        add_corner(clip_grad + a * 4, value[0], value[1], value[2]);
        add_corner(clip_grad + b * 4, value[3], value[4], value[5]);
        add_corner(clip_grad + c * 4, value[6], value[7], value[8]);
        groups.alone = false;
    }
    scatter(groups, value, 9, a, b, c, [=](i64 ra, i64 rb, i64 rc, int k) {
        i64 row = k < 3 ? ra : k < 6 ? rb : rc;
        int part = k % 3;
        return clip_grad + row * 4 + (part == 2 ? 3 : part);
    });
}
