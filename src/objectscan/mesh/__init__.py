"""Surfaces: topology, simplification, texture layout, baking, evidence, previews, files."""
