"""How well a mask agrees with the truth: counts, distances, and means over patients."""
