"""The networks of ReconViaGen in plain PyTorch, with the published names of their tensors.

One module a network: `vit` (DINOv2), `vggt`, `camera_head`, `point_head`, `conditions`, `structure_flow`,
`structure_decoder`, `latent_flow`, `latent_decoder`. `published` builds each in its published size.
"""
