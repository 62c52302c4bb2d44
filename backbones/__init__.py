"""Networks of images that more than one task uses, and their weights."""
