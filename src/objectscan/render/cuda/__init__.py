"""The CUDA backend: plain CUDA C++ in `kernels/`, compiled by NVRTC at first use, kept on disk.

Nothing but torch's CUDA wheels and the driver is needed: no nvcc, no host compiler. Kernels run on torch's
current stream, no operation waits for the GPU but `Hits.pixels` without a capacity, and a CUDA graph can hold
a whole step. Files named after an activity make kernels functions of torch; `operations` lists what `render`
calls; `nvrtc`, `cubins` and `launch` are the way from source to GPU.
"""
