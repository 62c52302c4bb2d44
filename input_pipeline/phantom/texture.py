"""Random fields: smooth variation, tissue texture, branching vessels, and the noise of each modality."""

import cv2
import numpy as np
from jaxtyping import Float

from input_pipeline.phantom.geometry import Field, Grid, norm
from input_pipeline.phantom.randomness import Purpose, create_generator

# End points (x, y) of vessel segments and the radius they share, in anatomy units.
Branches = tuple[Float[np.ndarray, '_ 2 2'], float]


def create_field(rng: np.random.Generator, size: int, cells: int) -> Field:
    """Smooth field of about unit variance that varies over 1/cells of the image.

    The random numbers drawn do not depend on `size`: an image of another size shows the same field.
    """
    coarse = rng.standard_normal((cells + 2, cells + 2), dtype=np.float32)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


def create_fractal(rng: np.random.Generator, size: int, cells: int, octaves: int) -> Field:
    """Sum of fields of doubling frequency and halving amplitude: the mottle of tissue."""
    total = create_field(rng, size, cells)
    for octave in range(1, octaves):
        total += create_field(rng, size, cells << octave) * 0.5**octave
    return total


def grow_vessels(
    rng: np.random.Generator, root: tuple[float, float], direction: float, length: float, radius: float
) -> list[Branches]:
    """Branching tree from `root` into the sector around `direction` (radians).

    Returns:
      the generations of branches, thin ones first.
    """
    generations, children = 6, 2
    tips = np.full((4, 2), root)
    angles = direction + np.linspace(-0.9, 0.9, len(tips)) + rng.normal(0, 0.12, len(tips))
    trees = []
    for generation in range(generations):
        spread = rng.uniform(0.6, 1.2, len(tips)) * length * 0.8**generation
        ends = tips + spread[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        segments = np.stack([tips, ends], axis=1)
        tips = np.repeat(ends, children, axis=0)
        angles = np.repeat(angles, children) + np.tile([-0.45, 0.45], len(ends)) + rng.normal(0, 0.25, len(tips))
        # A slice cuts through the tree: past the hilum only pieces of it lie in the plane.
        seen = rng.random(len(ends)) < (1.0 if generation < 2 else 0.62)
        trees.append((segments[seen].astype(np.float32), radius * 0.72**generation))
    return trees[::-1]


def paint_vessels(grid: Grid, branches: list[Branches]) -> Field:
    """Coverage in [0, 1] of vessels; those thinner than a pixel are drawn fainter, not wider."""
    layer = np.zeros(grid.x.shape, np.uint8)
    fraction = 4  # bits of sub-pixel position
    for segments, radius in branches:
        corners = grid.locate(segments.reshape(-1, 2)).reshape(segments.shape)
        lines = np.rint(corners * (1 << fraction)).astype(np.int32)
        width = 2 * radius / grid.pixel
        grey, thickness = int(255 * min(1.0, width)), max(1, round(width))
        cv2.polylines(layer, list(lines), False, grey, thickness, cv2.LINE_AA, fraction)
    return layer.astype(np.float32) / 255


def add_gaussian_noise(rng: np.random.Generator, image: Field, deviation: float) -> Field:
    """CT after a soft-tissue kernel: Gaussian noise whose grain is wider than a pixel."""
    noise = cv2.GaussianBlur(rng.standard_normal(image.shape, dtype=np.float32), (3, 3), 0.6)
    return image + noise * (deviation / 0.5007)  # the share of the deviation that this blur leaves


def add_rician_noise(rng: np.random.Generator, image: Field, deviation: float) -> Field:
    """Magnitude of a complex signal with Gaussian noise in both parts (Gudbjartsson and Patz, 1995)."""
    real, imaginary = rng.standard_normal((2, *image.shape), dtype=np.float32) * deviation
    return norm(image + real, imaginary)


def add_poisson_noise(rng: np.random.Generator, attenuation: Field, photons: float) -> Field:
    """Line integral measured by counting photons: the logarithm of a Poisson count (Beer and Lambert)."""
    expected = photons * np.exp(-attenuation)
    # Counts are large, so the Poisson law is a normal one; np.random's Poisson is ten times slower.
    counts = expected + np.sqrt(expected) * rng.standard_normal(expected.shape, dtype=np.float32)
    return -np.log(np.maximum(counts, 1) / photons)


def create_warp(patient_seed: int, slice_index: int, size: int, amplitude: float) -> tuple[Field, Field]:
    """Smooth displacement that makes each patient's outlines irregular, with a small change in each slice.

    Args:
      amplitude: typical displacement in anatomy units.
    """
    own = create_generator(patient_seed, Purpose.TEXTURE, 1)
    varied = create_generator(patient_seed, Purpose.TEXTURE, 2 + slice_index)
    cells = 6
    coarse = own.standard_normal((cells, cells, 2), dtype=np.float32)
    coarse += 0.25 * varied.standard_normal(coarse.shape, dtype=np.float32)
    field = cv2.resize(amplitude * coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(field[:, :, 0]), np.ascontiguousarray(field[:, :, 1])
