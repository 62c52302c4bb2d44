"""Generated images as files that other programs open: formats, the manifest, its check, and the model card."""
