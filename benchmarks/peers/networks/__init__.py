"""The networks of this project in PyTorch, written from the papers."""
