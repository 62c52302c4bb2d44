"""Small changes of images that mislead a detector, what it still gets right under them, and what is certain."""
