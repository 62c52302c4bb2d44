"""Progressive generative adversarial networks for medical images: PGGAN and Enhanced-GAN."""
