"""Floor 0: what everything speaks, as pydantic models and nothing else."""
