"""Readers of camera files: transforms.json and COLMAP models."""
