"""Where in an image a decision comes from, and whether that can be believed."""
