"""What a detector is worth on patients it has never seen, and whether that can be believed."""
