"""Progressive generative adversarial networks for medical images: PGGAN and Enhanced-GAN."""

from foundation.training import native_log  # noqa: F401  (before JAX)
