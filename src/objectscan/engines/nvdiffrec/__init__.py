"""Mesh, materials and light optimised from posed, masked photos (Munkberg et al., CVPR 2022)."""
