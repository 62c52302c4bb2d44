"""What lies beside the weights of an exported generator: programs that JAX alone runs, and a card."""
