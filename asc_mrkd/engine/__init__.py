"""The shared training engine: it knows samples, networks and methods, and nothing of where they come from."""
