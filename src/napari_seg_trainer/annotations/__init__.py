"""Floor 1: what people drew, found, checked and made ready for a network."""
