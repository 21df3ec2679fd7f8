"""Reconstruction engines behind one protocol (`base.Engine`)."""
