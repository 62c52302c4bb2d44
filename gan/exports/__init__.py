"""What lies beside the weights of an exported generator: a program that JAX alone runs, and a card."""
