"""Networks of images that more than one task uses, and their weights."""

import training.native_log  # noqa: F401  (before JAX)
