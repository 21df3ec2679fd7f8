"""Meshes generated from a few photos without cameras (ReconViaGen, ICLR 2026; TRELLIS, CVPR 2025)."""
