"""Volumes as a whole: which were altered, from what a detector of single images says of their slices."""
