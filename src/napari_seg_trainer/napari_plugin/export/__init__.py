"""The dock that exports annotations."""
