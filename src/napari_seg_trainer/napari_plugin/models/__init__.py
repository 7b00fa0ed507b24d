"""What several docks know of the models in the library."""
