"""Floor 2: what learns. An engine is named by an `EngineSpec`; only a training or prediction process imports it."""
