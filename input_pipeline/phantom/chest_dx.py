"""Frontal chest radiograph, built by adding up the attenuation along each ray, in grey levels of [0, 255]."""

import dataclasses
import math

import numpy as np

from input_pipeline.phantom import geometry, texture
from input_pipeline.phantom.geometry import Field, Grid
from input_pipeline.phantom.randomness import Purpose, create_generator

FIELD_OF_VIEW = 400.0  # mm
PHOTONS = 6000.0  # per pixel in air


@dataclasses.dataclass(frozen=True, slots=True)
class Thorax:
    """One patient's chest as seen from the front, in anatomy units (200 mm).

    Attributes:
      width: half width of the lungs at their base.
      apex, base: height of the top of the lungs and of the right dome of the diaphragm.
      tissue: attenuation of the trunk's soft tissue at its thickest.
      heart: half width of the heart relative to the average.
      tilt: how steeply the ribs fall.
      spacing: distance between neighbouring ribs.
      clavicle: height of the collar bones.
      pose: see geometry.Pose.
    """

    width: float
    apex: float
    base: float
    tissue: float
    heart: float
    tilt: float
    spacing: float
    clavicle: float
    pose: geometry.Pose


def create_thorax(patient: np.random.Generator, varied: np.random.Generator) -> Thorax:
    """Draws the patient's chest from `patient` and this exposure's small changes (breath) from `varied`."""
    return Thorax(
        width=patient.uniform(0.66, 0.78),
        apex=patient.uniform(-0.78, -0.70),
        base=patient.uniform(0.36, 0.56) + varied.normal(0, 0.02),
        tissue=patient.uniform(2.6, 3.3),
        heart=patient.uniform(0.85, 1.2),
        tilt=patient.uniform(0.30, 0.55),
        spacing=patient.uniform(0.145, 0.175),
        clavicle=patient.uniform(-0.66, -0.58),
        pose=geometry.Pose(
            scale=patient.uniform(0.95, 1.05) * varied.uniform(0.99, 1.01),
            angle=patient.normal(0, 0.025) + varied.normal(0, 0.008),
            shift=(patient.normal(0, 0.025), patient.normal(0, 0.03) + varied.normal(0, 0.008)),
        ),
    )


def draw_dx(patient_seed: int, slice_index: int, size: int, lesion: bool) -> tuple[Field, Field]:
    """Radiograph in grey levels of [0, 255], dense tissue bright, and the coverage of its opacity."""
    patient = create_generator(patient_seed, Purpose.ANATOMY, 0)
    thorax = create_thorax(patient, create_generator(patient_seed, Purpose.SLICE, slice_index))
    grid = geometry.create_grid(size, thorax.pose, texture.create_warp(patient_seed, slice_index, size, 0.015))
    mottle = texture.create_fractal(create_generator(patient_seed, Purpose.TEXTURE, 0), size, 10, 3)
    heart = heart_distance(grid, thorax)
    lungs = lung_distance(grid, thorax)
    beside_heart = geometry.smooth_difference(lungs, heart + 0.01, 0.03)
    attenuation = _trunk(grid, thorax, mottle)
    _remove_air(attenuation, grid, thorax, lungs, beside_heart, mottle)
    _add_heart(attenuation, grid, thorax, heart)
    _add_vessels(attenuation, grid, beside_heart, patient)
    _add_ribs(attenuation, grid, thorax)
    _add_shoulders_and_spine(attenuation, grid, thorax)
    mask = np.zeros_like(attenuation)
    if lesion:
        placed = create_generator(patient_seed, Purpose.LESION, 0)
        mask = _add_opacity(attenuation, grid, thorax, beside_heart, mottle, placed)
    noise = create_generator(patient_seed, Purpose.NOISE, slice_index)
    measured = texture.add_poisson_noise(noise, attenuation, PHOTONS)
    return 255 / (1 + np.exp(-1.7 * (measured - 0.68 * thorax.tissue))), mask


def lung_distance(grid: Grid, thorax: Thorax) -> Field:
    """Signed distance to both lungs: outer wall, mediastinal border and the dome of the diaphragm."""
    outward = np.abs(grid.x)
    left = grid.x > 0
    drop = np.clip((grid.y - thorax.apex) / (thorax.base - thorax.apex), 0, 1.2)
    wall = thorax.width * (0.40 + 0.60 * np.sqrt(np.clip(drop, 0, 1)))
    middle = 0.10 + 0.05 * drop
    dome = (
        thorax.base + np.where(left, 0.05, 0.0) + 1.0 * (outward - 0.36) ** 2 * np.where(outward > 0.36, 1.6, 0.8)
    )
    side = geometry.smooth_difference(outward - wall, outward - middle, 0.06)
    ends = np.maximum(thorax.apex - grid.y + 1.6 * (outward - 0.27) ** 2, grid.y - dome)
    return -geometry.smooth_union(-side, -ends, 0.07)


def _trunk(grid: Grid, thorax: Thorax, mottle: Field) -> Field:
    """Attenuation of the soft tissue of neck, shoulders and trunk without lungs; air beside them."""
    outward, y = np.abs(grid.x), grid.y
    neck = outward - 0.24
    slope = -0.86 - y + 0.32 * np.maximum(outward - 0.2, 0)
    flank = outward - (thorax.width + 0.16 + 1.3 * np.maximum(-0.15 - y, 0))
    body = geometry.smooth_union(neck, np.maximum(slope, flank), 0.15)
    depth = np.sqrt(np.clip(-body / 0.30, 0, 1))  # rays near the skin cross less tissue
    below = 1 + 0.30 * np.clip((y - thorax.base) / 0.3, 0, 1)
    return thorax.tissue * depth * below * (1 + 0.02 * mottle)


def _remove_air(
    attenuation: Field, grid: Grid, thorax: Thorax, lungs: Field, beside_heart: Field, mottle: Field
) -> None:
    """The lungs hold air: most of the attenuation there is gone, gradually from their edges inwards."""
    inward = np.clip(-lungs / 0.22, 0, 1)
    share = 0.75 * geometry.coverage(beside_heart, 0.02) + 0.25 * geometry.coverage(lungs, 0.02)
    share *= (0.16 + 0.48 * np.sqrt(inward)) * (1 - 0.04 * mottle)
    attenuation *= 1 - share
    if thorax.heart < 1.05:  # gas in the stomach, under the left dome
        bubble = np.zeros_like(attenuation)
        geometry.paint_ellipse(bubble, grid, 1.0, (0.36, thorax.base + 0.19), (0.12, 0.07), 0.2, 0.05)
        attenuation *= 1 - 0.28 * bubble


def heart_distance(grid: Grid, thorax: Thorax) -> Field:
    """Signed distance to the heart's shadow, left of the midline, with its waist and the aortic knob."""
    x, y, size = grid.x, grid.y, thorax.heart
    foot = thorax.base - 0.16
    ventricle = geometry.ellipse(x, y, (0.135 * size, foot), (0.31 * size, 0.225), 0.55)
    atrium = geometry.ellipse(x, y, (-0.06, foot - 0.03), (0.15 * size, 0.23))
    heart = geometry.smooth_union(ventricle, atrium, 0.1)
    waist = geometry.ellipse(x, y, (0.06, foot - 0.26), (0.13, 0.22), -0.25)
    heart = geometry.smooth_union(heart, waist, 0.08)
    knob = geometry.ellipse(x, y, (0.085, foot - 0.50), (0.085, 0.085))
    return geometry.smooth_union(heart, knob, 0.04)


def _add_heart(attenuation: Field, grid: Grid, thorax: Thorax, heart: Field) -> None:
    """Adds heart and great vessels; takes away the air in the windpipe."""
    depth = np.sqrt(np.clip(-heart / 0.16, 0, 1))
    chest = geometry.coverage(grid.y - thorax.base - 0.05, 0.25)
    attenuation += 0.15 * thorax.tissue * (0.35 * geometry.coverage(heart, 0.025) + 0.65 * depth) * chest
    trachea = np.maximum(np.abs(grid.x + 0.01) - 0.035, grid.y - thorax.base + 0.58)
    attenuation -= 0.14 * thorax.tissue * geometry.coverage(trachea, 0.03)


def _add_vessels(attenuation: Field, grid: Grid, lungs: Field, patient: np.random.Generator) -> None:
    """Hila and the pulmonary vessels that spread from them."""
    trees = [
        texture.grow_vessels(patient, (side * 0.15, -0.02), math.pi * (side < 0), 0.15, 0.013) for side in (-1, 1)
    ]
    share = texture.paint_vessels(grid, trees[0] + trees[1])
    attenuation += 0.20 * share * geometry.coverage(lungs, 0.05)
    for side in (-1, 1):
        hilum = np.zeros_like(attenuation)
        geometry.paint_ellipse(hilum, grid, 1.0, (side * 0.19, -0.03), (0.06, 0.12), side * 0.3, 0.09)
        attenuation += 0.30 * hilum


def _add_ribs(attenuation: Field, grid: Grid, thorax: Thorax) -> None:
    """Posterior ribs falling outwards and fainter anterior ribs falling inwards, brighter at their edges."""
    outward = np.abs(grid.x) / thorax.width
    cage = geometry.coverage(np.maximum(outward - 1.06, grid.y - thorax.base - 0.32), 0.08)
    cage = cage * geometry.coverage(thorax.apex - 0.04 - grid.y, 0.04)
    back = (grid.y - thorax.tilt * (outward**2 - 0.5 * outward)) / thorax.spacing
    front = (grid.y + 0.40 * outward - 0.55 * outward**3) / (thorax.spacing * 1.15) + 0.35
    for phase, strength, near in ((back, 0.34, 0.10), (front, 0.17, 0.55)):
        offset = np.abs(phase - np.rint(phase))
        bone = geometry.coverage(offset - 0.24, 0.14)
        edge = np.exp(-(((offset - 0.22) / 0.05) ** 2))
        inner = geometry.coverage(near - outward, 0.10)
        attenuation += strength * (0.7 * bone + 0.5 * edge) * cage * inner


def _add_shoulders_and_spine(attenuation: Field, grid: Grid, thorax: Thorax) -> None:
    """Collar bones, shoulder blades, and the vertebral column behind the mediastinum."""
    for side in (-1, 1):
        top = thorax.clavicle
        points = [
            (side * 0.07, top + 0.09),
            (side * 0.30, top + 0.02),
            (side * 0.52, top - 0.07),
            (side * 0.74, top - 0.08),
        ]
        collar = geometry.tube(grid.x, grid.y, points, [0.036, 0.026, 0.026, 0.034])
        attenuation += 0.45 * geometry.coverage(collar, 0.02) - 0.12 * geometry.coverage(collar + 0.02, 0.02)
        blade = geometry.ellipse(grid.x, grid.y, (side * 0.80, -0.30), (0.16, 0.34), side * -0.25)
        attenuation += 0.16 * geometry.coverage(blade, 0.03)
        joint = geometry.ellipse(grid.x, grid.y, (side * 0.90, -0.58), (0.11, 0.13))
        attenuation += 0.5 * geometry.coverage(joint, 0.03)
    column = geometry.coverage(np.abs(grid.x) - 0.075, 0.03)
    discs = np.cos(2 * math.pi * grid.y / (thorax.spacing * 0.85))
    attenuation += (0.30 + 0.08 * discs) * column


def _add_opacity(
    attenuation: Field, grid: Grid, thorax: Thorax, lungs: Field, mottle: Field, lesion: np.random.Generator
) -> Field:
    """Adds a consolidation with soft edges within one lung; returns its coverage."""
    side = float(lesion.choice([-1, 1]))
    # The left lung is looked at beside the heart.
    across = side * thorax.width * (lesion.uniform(0.52, 0.64) if side < 0 else lesion.uniform(0.66, 0.74))
    centre = (across, lesion.uniform(-0.30, 0.16))
    radii = (lesion.uniform(0.10, 0.15), lesion.uniform(0.11, 0.17))
    shape = geometry.ellipse(grid.x, grid.y, centre, radii, lesion.uniform(0, 3)) + 0.012 * mottle
    shape = np.maximum(shape, lungs)
    attenuation += 0.38 * thorax.tissue * geometry.coverage(shape, 0.09) * (1 + 0.08 * mottle)
    return geometry.coverage(shape, grid.pixel)
