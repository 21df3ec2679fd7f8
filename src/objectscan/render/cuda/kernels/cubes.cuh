// A point of a cube map: its face, its cell of four texels (also across faces and at corners), and the way back.
//
// All levels' texels are one stack; sources[starts[l] + (f (E + 2) + j) (E + 2) + i] is the row of the texel at padded
// row j and column i. Beyond a corner of the cube there is none (-1): the mean of the other three stands in for it.
#pragma once
#include "texels.cuh"

struct Cubes {
    const float* texels;
    const int* sources;
    const i64* starts;
    const i64* edges;
};

struct Spot { int face; double s, t, inverse; };  // face coordinates in [-1, 1], 1 / |major component|
struct CubeCell { i64 at; int row[TAPS]; float fx, fy; };
struct Direction { float x, y, z; };

// A direction that is zero or no number looks at the middle of +z, with 0 for `inverse`: it has no gradient.
__device__ __forceinline__ Spot project(double x, double y, double z) {
    double ax = fabs(x), ay = fabs(y), az = fabs(z), m;
    Spot spot;
    if (ax >= ay && ax >= az) {
        m = ax; spot.t = -y;
        if (x > 0.0) { spot.face = 0; spot.s = -z; }
        else { spot.face = 1; spot.s = z; }
    } else if (ay >= az) {
        m = ay; spot.s = x;
        if (y > 0.0) { spot.face = 2; spot.t = z; }
        else { spot.face = 3; spot.t = -z; }
    } else {
        m = az; spot.t = -y;
        if (z > 0.0) { spot.face = 4; spot.s = x; }
        else { spot.face = 5; spot.s = -x; }
    }
    spot.inverse = m > 0.0 ? 1.0 / m : 0.0;
    spot.s *= spot.inverse;
    spot.t *= spot.inverse;
    if (!(fabs(spot.s) <= 1.0 && fabs(spot.t) <= 1.0 && spot.inverse > 0.0 && isfinite(spot.inverse))) {
        spot.face = 4;
        spot.s = spot.t = spot.inverse = 0.0;
    }
    return spot;
}

__device__ __forceinline__ CubeCell cell_at(const Cubes& cubes, int level, const Spot& spot) {
    int edge = (int)cubes.edges[level];
    double column = (spot.s + 1.0) * 0.5 * edge + 0.5, row = (spot.t + 1.0) * 0.5 * edge + 0.5;
    int i = min(max((int)column, 0), edge), j = min(max((int)row, 0), edge);
    CubeCell cell;
    cell.at = cubes.starts[level] + (i64)(spot.face * (edge + 2) + j) * (edge + 2) + i;
    cell.row[0] = cubes.sources[cell.at];
    cell.row[1] = cubes.sources[cell.at + 1];
    cell.row[2] = cubes.sources[cell.at + edge + 2];
    cell.row[3] = cubes.sources[cell.at + edge + 3];
    cell.fx = (float)(column - i);
    cell.fy = (float)(row - j);
    return cell;
}

struct Sample { float value, by_x, by_y; };  // and its slopes along the shares of the right and of the lower texels

__device__ __forceinline__ Sample sample_cell(const Cubes& cubes, const CubeCell& cell, int channels, int c) {
    float v[TAPS], total = 0.f;
#pragma unroll
    for (int k = 0; k < TAPS; k++) {
        v[k] = cell.row[k] >= 0 ? cubes.texels[(i64)cell.row[k] * channels + c] : 0.f;
        total += v[k];
    }
#pragma unroll
    for (int k = 0; k < TAPS; k++)
        if (cell.row[k] < 0) v[k] = total / 3.f;
    float fx = cell.fx, fy = cell.fy;
    Sample sample;
    sample.value = (v[0] * (1.f - fx) + v[1] * fx) * (1.f - fy) + (v[2] * (1.f - fx) + v[3] * fx) * fy;
    sample.by_x = (v[1] - v[0]) * (1.f - fy) + (v[3] - v[2]) * fy;
    sample.by_y = (v[2] - v[0]) * (1.f - fx) + (v[3] - v[1]) * fx;
    return sample;
}

// value[4 tap + c] for `scatter_texels`, from a gradient g in channel c of the sample.
__device__ __forceinline__ void spread(const CubeCell& cell, int c, float g, float (&value)[16]) {
    float fx = cell.fx, fy = cell.fy, part[TAPS] = {g * (1.f - fx) * (1.f - fy), g * fx * (1.f - fy), g * (1.f - fx) * fy, g * fx * fy};
    float spill = 0.f;
#pragma unroll
    for (int k = 0; k < TAPS; k++)
        if (cell.row[k] < 0) spill = part[k] / 3.f;
#pragma unroll
    for (int k = 0; k < TAPS; k++) value[4 * k + c] = part[k] + spill;
}

// Gradient in a direction from (gs, gt) in its face coordinates s = S / m, t = T / m: the quotient rule.
__device__ __forceinline__ Direction unproject(const Spot& spot, float gs, float gt) {
    float inverse = (float)spot.inverse, gm = -(gs * (float)spot.s + gt * (float)spot.t) * inverse;
    gs *= inverse;
    gt *= inverse;
    Direction d;
    if (spot.face < 2) {
        d.x = spot.face == 0 ? gm : -gm; d.y = -gt; d.z = spot.face == 0 ? -gs : gs;
    } else if (spot.face < 4) {
        d.x = gs; d.y = spot.face == 2 ? gm : -gm; d.z = spot.face == 2 ? gt : -gt;
    } else {
        d.x = spot.face == 4 ? gs : -gs; d.y = -gt; d.z = spot.face == 4 ? gm : -gm;
    }
    return d;
}
