"""The dock that trains: the form, and the runs that come of it."""
