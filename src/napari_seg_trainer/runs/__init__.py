"""Floor 4: a job becomes a model, in a process of its own that writes all it does into a folder."""
