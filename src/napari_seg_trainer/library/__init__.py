"""Floor 3: what is kept. The model library, and models that come from elsewhere."""
