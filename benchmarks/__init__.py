"""Scripts that measure speed and correctness; each is run as a module."""
