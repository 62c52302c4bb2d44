"""Progressive generative adversarial networks for medical images: PGGAN and Enhanced-GAN."""

import training.native_log  # noqa: F401  (before JAX)
