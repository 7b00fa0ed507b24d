"""One training, and the list of all of them."""
