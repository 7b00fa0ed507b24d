"""Floor 4: a job becomes a model, in a process of its own that tells its story in a folder."""
