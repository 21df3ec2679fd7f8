"""Objectscan: photographs of an object in, a textured PBR mesh with honest evidence out."""
