"""Vertex attributes at listed pixels, their screen derivatives, and the adjoints.

Attributes are flat [V, C], or [N V, C] if each view has its own: `stride` = (pixels a view, rows a view)
leads from a flat pixel to the first row of its view; no rows a view means that all views share them.
"""

from __future__ import annotations

from objectscan.render.cpu.jit import kernel


@kernel
def interpolate(attributes, stride, faces, triangle, barycentrics, pixels, first, last, values):
    """values[p] = attributes at the flat pixel pixels[p], for first <= p < last.

    With as many values as pixels in the picture, they go to values[pixels[p]] instead.
    """
    is_picture = len(values) == len(triangle)
    one = barycentrics.dtype.type(1)  # a Python 1 would make doubles of it all
    for p in range(first, last):
        pixel = pixels[p]
        t = triangle[pixel]
        u, v = barycentrics[pixel, 0], barycentrics[pixel, 1]
        w = one - u - v
        row = pixel // stride[0] * stride[1] if stride[1] else 0
        i0, i1, i2 = row + faces[t, 0], row + faces[t, 1], row + faces[t, 2]
        place = pixel if is_picture else p
        for c in range(attributes.shape[1]):
            values[place, c] = u * attributes[i0, c] + v * attributes[i1, c] + w * attributes[i2, c]


@kernel
def interpolate_backward(
    attributes, stride, faces, triangle, barycentrics, pixels, first, last, upstream, need_attributes,
    attributes_grad, barycentrics_grad,
):  # fmt: skip
    """Adds to attributes_grad [V, C], writes the pixels' rows of barycentrics_grad [N H W, 2]."""
    is_picture = len(upstream) == len(triangle)
    one = barycentrics.dtype.type(1)
    for p in range(first, last):
        pixel = pixels[p]
        t = triangle[pixel]
        u, v = barycentrics[pixel, 0], barycentrics[pixel, 1]
        w = one - u - v
        row = pixel // stride[0] * stride[1] if stride[1] else 0
        i0, i1, i2 = row + faces[t, 0], row + faces[t, 1], row + faces[t, 2]
        gu, gv = 0.0, 0.0
        place = pixel if is_picture else p
        for c in range(attributes.shape[1]):
            g = upstream[place, c]
            third = attributes[i2, c]
            gu += g * (attributes[i0, c] - third)
            gv += g * (attributes[i1, c] - third)
            if need_attributes:
                attributes_grad[i0, c] += g * u
                attributes_grad[i1, c] += g * v
                attributes_grad[i2, c] += g * w
        barycentrics_grad[pixel, 0] = gu
        barycentrics_grad[pixel, 1] = gv


@kernel
def differentiate(attributes, stride, faces, triangle, derivatives, pixels, first, last, slopes):
    """slopes[p] = (dA/dX, dA/dY) a channel, per pixel, at the flat pixel pixels[p]."""
    for p in range(first, last):
        pixel = pixels[p]
        t = triangle[pixel]
        row = pixel // stride[0] * stride[1] if stride[1] else 0
        i0, i1, i2 = row + faces[t, 0], row + faces[t, 1], row + faces[t, 2]
        for c in range(attributes.shape[1]):
            a = attributes[i0, c] - attributes[i2, c]
            b = attributes[i1, c] - attributes[i2, c]
            slopes[p, 2 * c] = a * derivatives[pixel, 0] + b * derivatives[pixel, 2]
            slopes[p, 2 * c + 1] = a * derivatives[pixel, 1] + b * derivatives[pixel, 3]


@kernel
def differentiate_backward(
    attributes,
    stride,
    faces,
    triangle,
    derivatives,
    pixels,
    first,
    last,
    upstream,
    attributes_grad,
    derivatives_grad,
):
    """Adjoint of `differentiate`."""
    for p in range(first, last):
        pixel = pixels[p]
        t = triangle[pixel]
        row = pixel // stride[0] * stride[1] if stride[1] else 0
        i0, i1, i2 = row + faces[t, 0], row + faces[t, 1], row + faces[t, 2]
        for c in range(attributes.shape[1]):
            gx, gy = upstream[p, 2 * c], upstream[p, 2 * c + 1]
            a = attributes[i0, c] - attributes[i2, c]
            b = attributes[i1, c] - attributes[i2, c]
            derivatives_grad[pixel, 0] += gx * a
            derivatives_grad[pixel, 1] += gy * a
            derivatives_grad[pixel, 2] += gx * b
            derivatives_grad[pixel, 3] += gy * b
            ga = gx * derivatives[pixel, 0] + gy * derivatives[pixel, 1]
            gb = gx * derivatives[pixel, 2] + gy * derivatives[pixel, 3]
            attributes_grad[i0, c] += ga
            attributes_grad[i1, c] += gb
            attributes_grad[i2, c] -= ga + gb


@kernel
def scatter(values, pixels, first, last, picture):
    """picture[pixels[p]] = values[p]."""
    for p in range(first, last):
        for c in range(values.shape[1]):
            picture[pixels[p], c] = values[p, c]


@kernel
def gather(picture, pixels, first, last, values):
    """values[p] = picture[pixels[p]], the adjoint of `scatter`."""
    for p in range(first, last):
        for c in range(values.shape[1]):
            values[p, c] = picture[pixels[p], c]
