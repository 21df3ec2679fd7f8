// Split-sum shading of surface points in one pass, and its gradients (`render.cpu.shade` explains the formulas).
//
// The light is a stack of cube maps: the diffuse one, then the specular levels of the ladder of roughnesses.
// Directions are in double, as on the CPU: in float a sharp reflection is 1e-6 off.
#include "cubes.cuh"

#define RUNGS 5
#define DIELECTRIC 0.04f
#define SMALLEST_ROUGHNESS 0.08
#define SMALLEST_COSINE 1e-3

struct Points { const float *base, *material, *normals, *views; i64 count; };

struct Light {
    Cubes cubes;
    const float2* table;          // [rows + 1, columns + 1] over n.v and roughness: (scale, bias)
    double ladder[RUNGS];
    int rows, columns;
};

struct Reflectance { float scale, bias, scale_c, bias_c, scale_r, bias_r; };  // and slopes along cosine and roughness

struct Surface {                  // what both directions compute of a point
    double normal[3], view[3], mirror[3], cosine, bend;
    double roughness, bend_slope;
    Reflectance reflectance;
    Spot facing, mirrored;
    CubeCell diffuse, fine, coarse;
    int rung;
    float share, share_slope;     // of the coarse level; its change with roughness
};

__device__ __forceinline__ double between(double x, double low, double high) { return fmin(fmax(x, low), high); }

__device__ __forceinline__ Reflectance look_up(const Light& light, double cosine, double roughness) {
    int i = min((int)(cosine * light.rows), light.rows - 1), j = min((int)(roughness * light.columns), light.columns - 1);
    float x = (float)(cosine * light.rows - i), y = (float)(roughness * light.columns - j);
    const float2* at = light.table + i * (light.columns + 1) + j;
    float2 a = at[0], b = at[1], c = at[light.columns + 1], d = at[light.columns + 2];
    Reflectance r;
    r.scale = (a.x * (1.f - y) + b.x * y) * (1.f - x) + (c.x * (1.f - y) + d.x * y) * x;
    r.bias = (a.y * (1.f - y) + b.y * y) * (1.f - x) + (c.y * (1.f - y) + d.y * y) * x;
    r.scale_c = ((c.x - a.x) * (1.f - y) + (d.x - b.x) * y) * light.rows;
    r.bias_c = ((c.y - a.y) * (1.f - y) + (d.y - b.y) * y) * light.rows;
    r.scale_r = ((b.x - a.x) * (1.f - x) + (d.x - c.x) * x) * light.columns;
    r.bias_r = ((b.y - a.y) * (1.f - x) + (d.y - c.y) * x) * light.columns;
    return r;
}

__device__ __forceinline__ void find_rung(const Light& light, Surface& s) {
    s.rung = 0;
    while (s.rung < RUNGS - 2 && s.roughness > light.ladder[s.rung + 1]) s.rung++;
    double step = light.ladder[s.rung + 1] - light.ladder[s.rung], share = (s.roughness - light.ladder[s.rung]) / step;
    s.share = (float)between(share, 0.0, 1.0);
    s.share_slope = share >= 0.0 && share <= 1.0 ? (float)(1.0 / step) : 0.f;
}

__device__ __forceinline__ Surface surface_at(const Points& points, const Light& light, i64 p) {
    Surface s;
    s.cosine = 0.0;
    for (int k = 0; k < 3; k++) {
        s.normal[k] = points.normals[3 * p + k];
        s.view[k] = points.views[3 * p + k];
        s.cosine += s.normal[k] * s.view[k];
    }
    s.roughness = between(points.material[3 * p + 1], SMALLEST_ROUGHNESS, 1.0);
    double alpha = s.roughness * s.roughness, smooth = 1.0 - alpha, root = sqrt(smooth), direction[3];
    s.bend = 1.0 - smooth * (root + alpha);
    s.bend_slope = 2.0 * s.roughness * (1.5 * root - 1.0 + 2.0 * alpha);
    for (int k = 0; k < 3; k++) {
        s.mirror[k] = 2.0 * s.cosine * s.normal[k] - s.view[k];
        direction[k] = s.mirror[k] + s.bend * (s.normal[k] - s.mirror[k]);
    }
    s.reflectance = look_up(light, between(s.cosine, SMALLEST_COSINE, 1.0), s.roughness);
    find_rung(light, s);
    s.facing = project(s.normal[0], s.normal[1], s.normal[2]);
    s.mirrored = project(direction[0], direction[1], direction[2]);
    s.diffuse = cell_at(light.cubes, 0, s.facing);
    s.fine = cell_at(light.cubes, s.rung + 1, s.mirrored);
    s.coarse = cell_at(light.cubes, s.rung + 2, s.mirrored);
    return s;
}

extern "C" __global__ void shade(Points points, Light light, float* __restrict__ colours) {
    i64 p = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= points.count) return;
    Surface s = surface_at(points, light, p);
    float occlusion = points.material[3 * p], metallic = points.material[3 * p + 2];
    for (int k = 0; k < 3; k++) {
        float base = points.base[3 * p + k], irradiance = sample_cell(light.cubes, s.diffuse, 3, k).value;
        float radiance = sample_cell(light.cubes, s.fine, 3, k).value * (1.f - s.share) +
                         sample_cell(light.cubes, s.coarse, 3, k).value * s.share;
        float facing = DIELECTRIC + metallic * (base - DIELECTRIC);
        float lit = irradiance * base * (1.f - metallic) + radiance * (facing * s.reflectance.scale + s.reflectance.bias);
        colours[3 * p + k] = lit * occlusion;
    }
}

struct Gradients { float *base, *material, *normals, *texels; };

extern "C" __global__ void shade_backward(Points points, Light light, const float* __restrict__ upstream, Gradients gradients) {
    i64 p = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    bool inside = p < points.count;
    if (!inside) p = 0;  // its lane takes part in the sums, with zeros
    Surface s = surface_at(points, light, p);
    float occlusion = points.material[3 * p], metallic = points.material[3 * p + 2], share = s.share;
    float fine_edge = (float)light.cubes.edges[s.rung + 1], coarse_edge = (float)light.cubes.edges[s.rung + 2];
    float g_occlusion = 0.f, g_metallic = 0.f, g_share = 0.f, g_scale = 0.f, g_bias = 0.f;
    float gs_n = 0.f, gt_n = 0.f, gs_r = 0.f, gt_r = 0.f;
    float to_diffuse[16] = {0.f}, to_fine[16] = {0.f}, to_coarse[16] = {0.f};
#pragma unroll
    for (int k = 0; k < 3; k++) {
        float base = points.base[3 * p + k], g_out = inside ? upstream[3 * p + k] : 0.f, g = g_out * occlusion;
        Sample diffuse = sample_cell(light.cubes, s.diffuse, 3, k), sharp = sample_cell(light.cubes, s.fine, 3, k);
        Sample dull = sample_cell(light.cubes, s.coarse, 3, k);
        float radiance = sharp.value * (1.f - share) + dull.value * share;
        float facing = DIELECTRIC + metallic * (base - DIELECTRIC), reflected = facing * s.reflectance.scale + s.reflectance.bias;
        g_occlusion += g_out * (diffuse.value * base * (1.f - metallic) + radiance * reflected);
        if (inside)
            gradients.base[3 * p + k] = g * (diffuse.value * (1.f - metallic) + radiance * s.reflectance.scale * metallic);
        g_metallic += g * (radiance * s.reflectance.scale * (base - DIELECTRIC) - diffuse.value * base);
        g_scale += g * radiance * facing;
        g_bias += g * radiance;
        float g_irradiance = g * base * (1.f - metallic), g_radiance = g * reflected;
        g_share += g_radiance * (dull.value - sharp.value);
        gs_n += g_irradiance * diffuse.by_x;
        gt_n += g_irradiance * diffuse.by_y;
        gs_r += g_radiance * (sharp.by_x * (1.f - share) * fine_edge + dull.by_x * share * coarse_edge);
        gt_r += g_radiance * (sharp.by_y * (1.f - share) * fine_edge + dull.by_y * share * coarse_edge);
        spread(s.diffuse, k, g_irradiance, to_diffuse);
        spread(s.fine, k, g_radiance * (1.f - share), to_fine);
        spread(s.coarse, k, g_radiance * share, to_coarse);
    }
    if (gradients.texels) {
        scatter_texels(group_lanes(inside ? s.diffuse.at : -1), to_diffuse, s.diffuse.row, gradients.texels, 3, 0, 3);
        scatter_texels(group_lanes(inside ? s.fine.at : -1), to_fine, s.fine.row, gradients.texels, 3, 0, 3);
        scatter_texels(group_lanes(inside ? s.coarse.at : -1), to_coarse, s.coarse.row, gradients.texels, 3, 0, 3);
    }
    if (!inside) return;
    float half = 0.5f * (float)light.cubes.edges[0];
    Direction n = unproject(s.facing, gs_n * half, gt_n * half), m = unproject(s.mirrored, gs_r * 0.5f, gt_r * 0.5f);
    float to_direction[3] = {m.x, m.y, m.z}, to_normal[3] = {n.x, n.y, n.z};
    float g_bend = 0.f, g_cosine = 0.f, bend = (float)s.bend;
    for (int k = 0; k < 3; k++) {
        g_bend += to_direction[k] * (float)(s.normal[k] - s.mirror[k]);
        g_cosine += 2.f * (1.f - bend) * to_direction[k] * (float)s.normal[k];
    }
    if (s.cosine >= SMALLEST_COSINE && s.cosine <= 1.0) g_cosine += g_scale * s.reflectance.scale_c + g_bias * s.reflectance.bias_c;
    for (int k = 0; k < 3; k++)
        gradients.normals[3 * p + k] = to_normal[k] + (bend + 2.f * (float)s.cosine * (1.f - bend)) * to_direction[k] +
                                       g_cosine * (float)s.view[k];
    double given = points.material[3 * p + 1];
    bool is_free = given >= SMALLEST_ROUGHNESS && given <= 1.0;
    gradients.material[3 * p] = g_occlusion;
    gradients.material[3 * p + 1] = is_free ? g_share * s.share_slope + g_scale * s.reflectance.scale_r +
                                              g_bias * s.reflectance.bias_r + g_bend * (float)s.bend_slope
                                            : 0.f;
    gradients.material[3 * p + 2] = g_metallic;
}
