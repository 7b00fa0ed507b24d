"""Layers of the viewer: their planes and grids, and how to get to an object in them."""
