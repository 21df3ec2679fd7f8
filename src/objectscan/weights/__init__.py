"""Weights of published networks: what there is, how it gets here, whether it is right, loading it.

    catalogue -> pull (hub or folder) -> ModelFolder -> verify -> load_weights

Engine-neutral: an engine brings its own catalogue. Only `load` needs torch.
"""
