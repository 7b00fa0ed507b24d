"""Floor 2: how good a model is, in numbers, figures and a page that a person can read."""
