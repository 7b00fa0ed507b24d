"""Floor 4: a model and an image become labels."""
