"""The CPU backend: kernels compiled by numba at first use, kept on disk, GIL released.

Files named after a thing (`coverage`, `silhouette`, `texels` ...) hold kernels, those named after an activity
(`rasterizing`, `antialiasing` ...) make them functions of torch. `operations` lists what `render` calls.
"""
