// Vertex attributes at all pixels of a picture or at listed ones, their screen derivatives, and the way back to
// attributes and to positions.
//
// Attributes are [V, C] shared by all views (view_rows 0), or [N, V, C] (view_rows V). A listed pixel -1 is padding.
// A corner that doesn't exist makes the pixel 0.
#include "barycentric.cuh"

#define CHUNK 5  // channels whose three gradients fill the 15 of 16 places of one sum over a warp

struct Picture { int width, height; };
struct Place { int view, x, y; };

__device__ __forceinline__ Place place_of(i64 pixel, Picture picture) {
    Place p;
    if ((pixel >> 31) == 0) {  // 32-bit divisions cost a fifth
        u32 flat = (u32)pixel, row = flat / (u32)picture.width;
        p.x = (int)(flat - row * (u32)picture.width);
        p.view = (int)(row / (u32)picture.height);
        p.y = (int)(row - (u32)p.view * (u32)picture.height);
        return p;
    }
    i64 row = pixel / picture.width;
    p.x = (int)(pixel - row * picture.width);
    p.view = (int)(row / picture.height);
    p.y = (int)(row - (i64)p.view * picture.height);
    return p;
}

__device__ __forceinline__ void interpolate_pixel(const float* __restrict__ attributes, const int* __restrict__ faces, int triangle,
                                                  float2 weight, float4 d, float* values, float* slopes, int rows, int channels) {
    int corner[3];
    bool exists = triangle >= 0 && corners_of(faces, triangle, rows, corner);
    if (!exists) {
        for (int c = 0; c < channels; c++) values[c] = 0.f;
        for (int c = 0; slopes && c < 2 * channels; c++) slopes[c] = 0.f;
        return;
    }
    const float *a = attributes + (i64)corner[0] * channels, *b = attributes + (i64)corner[1] * channels;
    const float* third = attributes + (i64)corner[2] * channels;
    float rest = 1.f - weight.x - weight.y;
    for (int c = 0; c < channels; c++) {
        float va = a[c], vb = b[c], vc = third[c];
        values[c] = weight.x * va + weight.y * vb + rest * vc;
        if (slopes) {
            slopes[2 * c] = (va - vc) * d.x + (vb - vc) * d.z;
            slopes[2 * c + 1] = (va - vc) * d.y + (vb - vc) * d.w;
        }
    }
}

extern "C" __global__ void interpolate_picture(const float* __restrict__ attributes, const int* __restrict__ faces,
                                               const int* __restrict__ triangles, const float2* __restrict__ barycentrics,
                                               float* __restrict__ values, int rows, int view_rows, int channels, int width, int height) {
    int x = PIXEL_X, y = PIXEL_Y;
    if (x >= width || y >= height) return;
    i64 pixel = ((i64)blockIdx.z * height + y) * width + x;
    const float* own = attributes + (i64)blockIdx.z * view_rows * channels;
    interpolate_pixel(own, faces, triangles[pixel], barycentrics[pixel], make_float4(0.f, 0.f, 0.f, 0.f), values + pixel * channels, 0,
                      rows, channels);
}

extern "C" __global__ void interpolate_list(const float* __restrict__ attributes, const int* __restrict__ faces,
                                            const int* __restrict__ triangles, const float2* __restrict__ barycentrics,
                                            const float4* __restrict__ derivatives, const i64* __restrict__ pixels,
                                            float* __restrict__ values, float* __restrict__ slopes, i64 count, int rows, int view_rows,
                                            int channels, int width, int height) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    i64 pixel = pixels[i];
    bool real = pixel >= 0;
    Picture picture = {width, height};
    const float* own = attributes + (real && view_rows ? (i64)place_of(pixel, picture).view * view_rows * channels : 0);
    interpolate_pixel(own, faces, real ? triangles[pixel] : -1, real ? barycentrics[pixel] : make_float2(0.f, 0.f),
                      slopes && real ? derivatives[pixel] : make_float4(0.f, 0.f, 0.f, 0.f), values + i * channels,
                      slopes ? slopes + i * 2 * channels : 0, rows, channels);
}

// What the way back reads and writes. Either clip_grad, or barycentrics_grad (and derivatives_grad) are given.
struct Backward {
    const float* attributes;
    const int* faces;
    const int* triangles;
    const float2* barycentrics;
    const float4* derivatives;
    const i64* pixels;           // 0: all pixels
    const float* from_values;    // may be 0
    const float* from_slopes;    // 0 unless WITH_SLOPES
    float* attributes_grad;      // may be 0
    const float4* clip;
    const int* clip_faces;
    float* clip_grad;            // may be 0
    float2* barycentrics_grad;   // may be 0
    float4* derivatives_grad;    // 0 unless WITH_SLOPES
    i64 count;                   // of listed pixels
    int rows, view_rows, channels, vertex_count, width, height, face_count, padding;
};

// Gradient in (u, v) and in their derivatives, at one pixel.
template <bool WITH_SLOPES>
__device__ __forceinline__ void weights_gradient(const Backward& b, const float* first, const float* second, const float* third,
                                                 i64 place, float& gu, float& gv, float4& gd) {
    gu = gv = 0.f;
    gd = make_float4(0.f, 0.f, 0.f, 0.f);
    for (int c = 0; c < b.channels; c++) {
        float along_u = first[c] - third[c], along_v = second[c] - third[c];
        if (b.from_values) {
            float g = b.from_values[place * b.channels + c];
            gu += g * along_u;
            gv += g * along_v;
        }
        if (WITH_SLOPES) {
            float gx = b.from_slopes[(place * b.channels + c) * 2], gy = b.from_slopes[(place * b.channels + c) * 2 + 1];
            gd.x += gx * along_u;
            gd.y += gy * along_u;
            gd.z += gx * along_v;
            gd.w += gy * along_v;
        }
    }
}

// A thread has four pixels, 2 x 2 of a picture or four of the list: those of one triangle are summed without talking
// to other lanes, then over the lanes of the warp that have the same triangle, then by atomics.
struct Quad { int triangle[4]; i64 place[4], pixel[4]; };
struct Share { int triangle, view, first; bool mine[4]; };  // one triangle's pixels of a quad, and the first of them

__device__ __forceinline__ Quad quad_of(const Backward& b, bool listed) {
    Quad quad;
#pragma unroll
    for (int k = 0; k < 4; k++) {
        bool inside;
        if (listed) {
            quad.place[k] = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * 4 + k;
            inside = quad.place[k] < b.count;
            quad.pixel[k] = inside ? b.pixels[quad.place[k]] : -1;
            inside = quad.pixel[k] >= 0;
        } else {
            int x = 2 * PIXEL_X + (k & 1), y = 2 * PIXEL_Y + (k >> 1);
            inside = x < b.width && y < b.height;
            quad.place[k] = quad.pixel[k] = ((i64)blockIdx.z * b.height + y) * b.width + x;
        }
        quad.triangle[k] = inside ? b.triangles[quad.pixel[k]] : -1;
    }
    return quad;
}

// Takes one triangle's pixels out of the quad; triangle -1 if none is left.
__device__ __forceinline__ Share take_share(const Backward& b, Quad& quad, bool listed) {
    Picture picture = {b.width, b.height};
    Share share;
    share.triangle = -1;
    share.view = blockIdx.z;
    share.first = 0;
#pragma unroll
    for (int k = 3; k >= 0; k--)
        if (quad.triangle[k] >= 0) {
            share.triangle = quad.triangle[k];
            share.first = k;
            if (listed) share.view = place_of(quad.pixel[k], picture).view;
        }
#pragma unroll
    for (int k = 0; k < 4; k++) {
        share.mine[k] = share.triangle >= 0 && quad.triangle[k] == share.triangle &&
                        (!listed || place_of(quad.pixel[k], picture).view == share.view);
        if (share.mine[k]) quad.triangle[k] = -1;
    }
    return share;
}

__device__ __forceinline__ Place place_in(const Backward& b, const Quad& quad, int k, bool listed) {
    if (listed) {
        Picture picture = {b.width, b.height};
        return place_of(quad.pixel[k], picture);
    }
    Place at = {(int)blockIdx.z, (int)(2 * PIXEL_X) + (k & 1), (int)(2 * PIXEL_Y) + (k >> 1)};
    return at;
}

template <bool WITH_SLOPES>
__device__ __forceinline__ void interpolate_gradient(const Backward& b) {
    bool listed = b.pixels != 0;
    Quad quad = quad_of(b, listed);
    i64 (&place)[4] = quad.place, (&pixel)[4] = quad.pixel;
    for (int phase = 0; phase < 4; phase++) {
        Share share = take_share(b, quad, listed);
        bool (&mine)[4] = share.mine;
        int now = share.triangle, view = share.view;
        if (!__any_sync(ALL_LANES, now >= 0)) break;
        int corner[3] = {0, 0, 0}, clip_corner[3] = {0, 0, 0};
        bool exists = now >= 0 && corners_of(b.faces, now, b.rows, corner);
        Groups groups = group_lanes(exists ? (i64)view * b.face_count + now : -1);
        i64 row = (i64)view * b.view_rows;
        if (b.clip_grad || b.barycentrics_grad) {
            float value[16] = {0.f};
            float4 p0 = make_float4(0.f, 0.f, 0.f, 0.f), p1 = p0, p2 = p0;
            i64 clip_row = (i64)view * b.vertex_count;
            if (exists && b.clip_grad) {
                corners_of(b.clip_faces, now, b.vertex_count, clip_corner);
                p0 = b.clip[clip_row + clip_corner[0]];
                p1 = b.clip[clip_row + clip_corner[1]];
                p2 = b.clip[clip_row + clip_corner[2]];
            }
            const float* first = b.attributes + (row + corner[0]) * b.channels;
            const float* second = b.attributes + (row + corner[1]) * b.channels;
            const float* third = b.attributes + (row + corner[2]) * b.channels;
            for (int k = 0; k < 4; k++) {
                if (!exists || !mine[k]) continue;
                float gu, gv;
                float4 gd;
                weights_gradient<WITH_SLOPES>(b, first, second, third, place[k], gu, gv, gd);
                if (b.clip_grad) {
                    if (!WITH_SLOPES && gu == 0.f && gv == 0.f) continue;
                    Place at = place_in(b, quad, k, listed);
                    add_position_gradient<WITH_SLOPES>(p0, p1, p2, at.x, at.y, b.width, b.height, gu, gv, gd, value);
                } else {
                    b.barycentrics_grad[pixel[k]] = make_float2(gu, gv);
                    if (WITH_SLOPES) b.derivatives_grad[pixel[k]] = gd;
                }
            }
            if (b.clip_grad)
                scatter_positions(groups, value, b.clip_grad, clip_row + clip_corner[0], clip_row + clip_corner[1],
                                  clip_row + clip_corner[2]);
        }
        if (!b.attributes_grad) continue;
        float2 weight[4];
        float4 d[4];
        for (int k = 0; k < 4; k++) {
            weight[k] = mine[k] ? b.barycentrics[pixel[k]] : make_float2(0.f, 0.f);
            d[k] = WITH_SLOPES && mine[k] ? b.derivatives[pixel[k]] : make_float4(0.f, 0.f, 0.f, 0.f);
        }
        for (int begin = 0; begin < b.channels; begin += CHUNK) {
            float value[16] = {0.f};
            int here = min(CHUNK, b.channels - begin);
#pragma unroll
            for (int j = 0; j < CHUNK; j++) {
                if (j >= here || !exists) continue;
#pragma unroll
                for (int k = 0; k < 4; k++) {
                    if (!mine[k]) continue;
                    i64 at = place[k] * b.channels + begin + j;
                    float g = b.from_values ? b.from_values[at] : 0.f, rest = 1.f - weight[k].x - weight[k].y;
                    float to_first = g * weight[k].x, to_second = g * weight[k].y, to_third = g * rest;
                    if (WITH_SLOPES) {
                        float gx = b.from_slopes[2 * at], gy = b.from_slopes[2 * at + 1];
                        float by_u = gx * d[k].x + gy * d[k].y, by_v = gx * d[k].z + gy * d[k].w;
                        to_first += by_u;
                        to_second += by_v;
                        to_third -= by_u + by_v;
                    }
                    value[3 * j] += to_first;
                    value[3 * j + 1] += to_second;
                    value[3 * j + 2] += to_third;
                }
            }
            float* grad = b.attributes_grad + begin;
            int channels = b.channels;
            scatter(groups, value, 3 * here, row + corner[0], row + corner[1], row + corner[2], [=](i64 ra, i64 rb, i64 rc, int k) {
                int part = k % 3;
                return grad + (part == 0 ? ra : part == 1 ? rb : rc) * channels + k / 3;
            });
        }
    }
}

extern "C" __global__ void interpolate_backward(Backward b) {
    if (b.from_slopes) interpolate_gradient<true>(b);
    else interpolate_gradient<false>(b);
}

// The same for up to FEW channels without slopes, the common case. What a quad needs is read at once, for the general
// kernel waits for memory, not for its 24 bytes a pixel: it took 7 to 12 times the time of its traffic. And doubles,
// 1/64 as fast as floats on consumer cards, are needed once a triangle and quad instead of once a pixel.
#define FEW 4

#ifndef FEW_GROUP
#define FEW_GROUP 6  // their smallest group: 10 takes 1.2 times as long, 3 as long as 6
#endif

__device__ __forceinline__ void interpolate_few(const Backward& b, bool listed) {
    Quad quad = quad_of(b, listed);
    float g[4][FEW];
    float2 weight[4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
        bool seen = quad.triangle[k] >= 0;
        weight[k] = seen ? b.barycentrics[quad.pixel[k]] : make_float2(0.f, 0.f);
#pragma unroll
        for (int c = 0; c < FEW; c++) g[k][c] = seen && c < b.channels ? b.from_values[quad.place[k] * b.channels + c] : 0.f;
    }
    for (int phase = 0; phase < 4; phase++) {
        Share share = take_share(b, quad, listed);
        if (!__any_sync(ALL_LANES, share.triangle >= 0)) break;
        int corner[3] = {0, 0, 0}, clip_corner[3] = {0, 0, 0};
        bool exists = share.triangle >= 0 && corners_of(b.faces, share.triangle, b.rows, corner);
        Groups groups = group_lanes(exists ? (i64)share.view * b.face_count + share.triangle : -1, FEW_GROUP);
        i64 row = (i64)share.view * b.view_rows, clip_row = (i64)share.view * b.vertex_count;
        if (b.clip_grad || b.barycentrics_grad) {
            float along_u[FEW], along_v[FEW], value[16] = {0.f};
#pragma unroll
            for (int c = 0; c < FEW; c++) {
                bool has = exists && c < b.channels;
                float third = has ? b.attributes[(row + corner[2]) * b.channels + c] : 0.f;
                along_u[c] = has ? b.attributes[(row + corner[0]) * b.channels + c] - third : 0.f;
                along_v[c] = has ? b.attributes[(row + corner[1]) * b.channels + c] - third : 0.f;
            }
            TriangleGradient sums;
            if (exists && b.clip_grad) {
                corners_of(b.clip_faces, share.triangle, b.vertex_count, clip_corner);
                Place at = place_in(b, quad, share.first, listed);
                begin_gradient(sums, b.clip[clip_row + clip_corner[0]], b.clip[clip_row + clip_corner[1]],
                               b.clip[clip_row + clip_corner[2]], at.x, at.y, b.width, b.height);
            }
#pragma unroll
            for (int k = 0; k < 4; k++) {
                if (!exists || !share.mine[k]) continue;
                float gu = 0.f, gv = 0.f;
#pragma unroll
                for (int c = 0; c < FEW; c++) {
                    gu += g[k][c] * along_u[c];
                    gv += g[k][c] * along_v[c];
                }
                if (b.clip_grad) {
                    Place at = place_in(b, quad, k, listed);
                    add_pixel(sums, at.x, at.y, gu, gv);
                } else b.barycentrics_grad[quad.pixel[k]] = make_float2(gu, gv);
            }
            if (b.clip_grad) {
                if (exists) end_gradient(sums, value);
                scatter_positions(groups, value, b.clip_grad, clip_row + clip_corner[0], clip_row + clip_corner[1],
                                  clip_row + clip_corner[2]);
            }
        }
        if (!b.attributes_grad) continue;
        float value[16] = {0.f};
#pragma unroll
        for (int k = 0; k < 4; k++) {
            if (!exists || !share.mine[k]) continue;
            float rest = 1.f - weight[k].x - weight[k].y;
#pragma unroll
            for (int c = 0; c < FEW; c++) {
                value[3 * c] += g[k][c] * weight[k].x;
                value[3 * c + 1] += g[k][c] * weight[k].y;
                value[3 * c + 2] += g[k][c] * rest;
            }
        }
        float* grad = b.attributes_grad;
        int channels = b.channels;
        scatter(groups, value, 3 * channels, row + corner[0], row + corner[1], row + corner[2], [=](i64 ra, i64 rb, i64 rc, int k) {
            int part = k % 3;
            return grad + (part == 0 ? ra : part == 1 ? rb : rc) * channels + k / 3;
        });
    }
}

#ifndef FEW_BLOCKS
#define FEW_BLOCKS 4  // on a multiprocessor; without the limit registers leave room for two
#endif

extern "C" __global__ void __launch_bounds__(128, FEW_BLOCKS)
interpolate_few_backward(Backward b) {
    interpolate_few(b, false);
}

extern "C" __global__ void __launch_bounds__(128, FEW_BLOCKS)
interpolate_few_list_backward(Backward b) {
    interpolate_few(b, true);
}
