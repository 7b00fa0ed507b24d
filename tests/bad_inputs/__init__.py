"""Bad inputs of every kind, each of which must end in one line for the user; `table` says how to add one."""
