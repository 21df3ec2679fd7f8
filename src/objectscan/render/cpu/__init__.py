"""Compiled CPU kernels of the renderer. Compiled at first use, kept in numba's cache, GIL released.

A second backend has to offer the same functions; `rasterize`, `interpolate` and `antialias` of the parent
package hold everything that is not a loop over triangles or pixels.
"""
