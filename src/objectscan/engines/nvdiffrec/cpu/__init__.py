"""The engine's inner loops on the CPU, in numba. `operations` is what `devices.backend_of` gives."""
