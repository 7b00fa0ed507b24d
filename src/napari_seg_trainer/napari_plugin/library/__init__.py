"""The dock that shows the model library."""
