// From keys to triangle ids, barycentrics, depth and screen derivatives of the barycentrics; and the way back.
#include "barycentric.cuh"

extern "C" __global__ void resolve(const float4* __restrict__ clip, const int* __restrict__ faces, const u64* __restrict__ keys,
                                   int* __restrict__ triangles, float2* __restrict__ barycentrics, float* __restrict__ depth,
                                   float4* __restrict__ derivatives, int vertex_count, int width, int height) {
    int x = PIXEL_X, y = PIXEL_Y;
    if (x >= width || y >= height) return;
    i64 pixel = ((i64)blockIdx.z * height + y) * width + x;
    u32 triangle = (u32)keys[pixel];
    triangles[pixel] = (int)triangle;  // NOTHING is -1
    if (triangle == NOTHING) {
        barycentrics[pixel] = make_float2(0.f, 0.f);
        depth[pixel] = 1.f;
        if (derivatives) derivatives[pixel] = make_float4(0.f, 0.f, 0.f, 0.f);
        return;
    }
    int corner[3];
    corners_of(faces, triangle, vertex_count, corner);
    const float4* view = clip + (i64)blockIdx.z * vertex_count;
    float4 a = view[corner[0]], b = view[corner[1]], c = view[corner[2]];
    Edges q = edges_at(a, b, c, centre(x, width), centre(y, height));
    double total = q.e0 + q.e1 + q.e2, inverse = total != 0.0 ? 1.0 / total : 0.0, u = q.e0 * inverse, v = q.e1 * inverse;
    // Corners were snapped to 1/256 pixel for coverage: the centre may lie 1/512 pixel outside.
    double in_u = fmin(fmax(u, 0.0), 1.0), in_v = fmin(fmax(v, 0.0), 1.0);
    if (in_u + in_v > 1.0) {
        double scale = 1.0 / (in_u + in_v);
        in_u *= scale;
        in_v *= scale;
    }
    double rest = 1.0 - in_u - in_v, z = in_u * a.z + in_v * b.z + rest * c.z, w = in_u * a.w + in_v * b.w + rest * c.w;
    barycentrics[pixel] = make_float2((float)in_u, (float)in_v);
    depth[pixel] = (float)fmin(fmax(z / w, -1.0), 1.0);
    if (!derivatives) return;
    Slopes d = slopes_at(q, a.w, b.w, c.w);
    double sx = d.x0 + d.x1 + d.x2, sy = d.y0 + d.y1 + d.y2, kx = 2.0 / width * inverse, ky = 2.0 / height * inverse;
    derivatives[pixel] = make_float4((float)((d.x0 - u * sx) * kx), (float)((d.y0 - u * sy) * ky), (float)((d.x1 - v * sx) * kx),
                                     (float)((d.y1 - v * sy) * ky));
}

// Adds to clip_grad [N, V, 4] what the gradients in barycentrics and their derivatives (each may be missing) mean for
// positions. A thread has 2 x 2 pixels: those of the same triangle are summed without talking to other lanes.
template <bool WITH_SLOPES>
__device__ __forceinline__ void resolve_gradient(const float4* __restrict__ clip, const int* __restrict__ faces,
                                                 const int* __restrict__ triangles, const float2* __restrict__ from_barycentrics,
                                                 const float4* __restrict__ from_slopes, float* clip_grad, int vertex_count, int width,
                                                 int height) {
    int x = 2 * PIXEL_X, y = 2 * PIXEL_Y, triangle[4];
    i64 first = ((i64)blockIdx.z * height + y) * width + x;
    for (int k = 0; k < 4; k++) {
        bool inside = x + (k & 1) < width && y + (k >> 1) < height;
        triangle[k] = inside ? triangles[first + (k & 1) + (k >> 1) * width] : -1;
    }
    const float4* view = clip + (i64)blockIdx.z * vertex_count;
    float* grad = clip_grad + (i64)blockIdx.z * vertex_count * 4;
    for (int phase = 0; phase < 4; phase++) {
        int now = -1;
        for (int k = 3; k >= 0; k--) now = triangle[k] >= 0 ? triangle[k] : now;
        if (!__any_sync(ALL_LANES, now >= 0)) break;
        float value[16] = {0.f};
        int corner[3] = {0, 0, 0};
        if (now >= 0) {
            corners_of(faces, now, vertex_count, corner);
            float4 a = view[corner[0]], b = view[corner[1]], c = view[corner[2]];
            for (int k = 0; k < 4; k++) {
                if (triangle[k] != now) continue;
                triangle[k] = -1;
                i64 pixel = first + (k & 1) + (k >> 1) * width;
                float2 g = from_barycentrics ? from_barycentrics[pixel] : make_float2(0.f, 0.f);
                float4 s = WITH_SLOPES ? from_slopes[pixel] : make_float4(0.f, 0.f, 0.f, 0.f);
                add_position_gradient<WITH_SLOPES>(a, b, c, x + (k & 1), y + (k >> 1), width, height, g.x, g.y, s, value);
            }
        }
        scatter_positions(group_lanes(now), value, grad, corner[0], corner[1], corner[2]);
    }
}

extern "C" __global__ void resolve_backward(const float4* __restrict__ clip, const int* __restrict__ faces,
                                            const int* __restrict__ triangles, const float2* __restrict__ from_barycentrics,
                                            const float4* __restrict__ from_slopes, float* clip_grad, int vertex_count, int width,
                                            int height) {
    if (from_slopes)
        resolve_gradient<true>(clip, faces, triangles, from_barycentrics, from_slopes, clip_grad, vertex_count, width, height);
    else resolve_gradient<false>(clip, faces, triangles, from_barycentrics, from_slopes, clip_grad, vertex_count, width, height);
}
