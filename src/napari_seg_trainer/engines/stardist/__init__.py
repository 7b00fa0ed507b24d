"""StarDist: star-convex objects (Schmidt et al. 2018)."""
