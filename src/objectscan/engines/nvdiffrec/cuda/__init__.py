"""The engine's inner loops on a GPU: CUDA C++ by NVRTC. `operations` is what `devices.backend_of` gives."""
