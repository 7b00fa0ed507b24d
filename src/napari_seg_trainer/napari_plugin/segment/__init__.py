"""The dock that segments with a trained model."""
