"""Axial slices of the head at the level of the lateral ventricles, in any contrast; see `head_tissues`."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from input_pipeline.phantom import geometry, texture
from input_pipeline.phantom.geometry import Field, Grid
from input_pipeline.phantom.head_tissues import Tissues
from input_pipeline.phantom.randomness import Purpose, create_generator

FIELD_OF_VIEW = 240.0  # mm
CORTEX_THICKNESS = 0.034  # 4 mm


@dataclasses.dataclass(frozen=True, slots=True)
class HeadPhantom:
    """One patient's head in anatomy units (120 mm).

    Attributes:
      width, length: half axes of the outer skin.
      scalp, skull: thicknesses.
      ventricles: their size relative to the average.
      sulcus: half width of the cortical furrows: atrophy opens them.
      level: 0 through the basal ganglia, 1 above the ventricles.
      sulci: depth of each furrow of the two hemispheres.
      pose: see geometry.Pose.
    """

    width: float
    length: float
    scalp: float
    skull: float
    ventricles: float
    sulcus: float
    level: float
    sulci: Float[np.ndarray, 'side furrow']
    pose: geometry.Pose


def create_head(patient: np.random.Generator, varied: np.random.Generator) -> HeadPhantom:
    """Draws the patient's head from `patient` and this slice's small changes from `varied`."""
    length = patient.uniform(0.84, 0.92)
    age = patient.random()
    level = patient.uniform(0.1, 0.85) + varied.uniform(-0.07, 0.07)
    return HeadPhantom(
        width=length * patient.uniform(0.77, 0.84),
        length=length,
        scalp=patient.uniform(0.045, 0.07),
        skull=patient.uniform(0.05, 0.07),
        ventricles=0.75 + 0.6 * age + patient.normal(0, 0.05),
        sulcus=0.008 + 0.012 * age,
        level=level,
        sulci=patient.uniform(0.07, 0.24, (2, 32)).astype(np.float32),
        pose=geometry.Pose(
            scale=varied.uniform(0.985, 1.0),
            angle=patient.normal(0, 0.06) + varied.normal(0, 0.008),
            shift=(patient.normal(0, 0.015), patient.normal(0, 0.02)),
        ),
    )


def draw_head(
    tissues: Tissues, patient_seed: int, slice_index: int, size: int, lesion: bool
) -> tuple[Field, Field]:
    """A slice and the coverage of its tumour, the same in all contrasts, without supersampling."""
    patient = create_generator(patient_seed, Purpose.ANATOMY, 0)
    head = create_head(patient, create_generator(patient_seed, Purpose.SLICE, slice_index))
    warp = texture.create_warp(patient_seed, slice_index, size, 0.013)
    grid = geometry.create_grid(size, head.pose, warp)
    tumour = create_tumour(create_generator(patient_seed, Purpose.LESION, 0), lesion)
    pushed = push_aside(grid, tumour)
    textured = create_generator(patient_seed, Purpose.TEXTURE, 0)
    folds, mottle = texture.create_field(textured, size, 9), texture.create_fractal(textured, size, 16, 3)
    signal = np.full((size, size), tissues.air, np.float32)
    brain = _paint_skull(signal, grid, head, tissues, mottle)
    _paint_cortex(signal, pushed, head, tissues, brain, folds, mottle)
    _paint_deep_nuclei(signal, pushed, head, tissues.deep_grey)
    _paint_ventricles(signal, pushed, head, tissues.fluid)
    mask = _paint_tumour(signal, grid, tumour, tissues, brain, mottle)
    bias = 1 + tissues.shading * texture.create_field(textured, size, 2)
    noise = create_generator(patient_seed, Purpose.NOISE, slice_index + (tissues.stream << 32))
    return tissues.add_noise(noise, signal * bias, tissues.noise), mask


def _paint_skull(signal: Field, grid: Grid, head: HeadPhantom, tissues: Tissues, mottle: Field) -> Field:
    """Paints scalp, skull with marrow, and fluid; returns the signed distance to the brain's surface."""
    wider_behind = grid.x * (1.02 - 0.10 * grid.y)
    skin = geometry.ellipse(wider_behind, grid.y, (0.0, 0.0), (head.width, head.length))
    bone = skin + head.scalp * (1 + 0.5 * np.abs(grid.y))
    inner = bone + head.skull * (1 + 0.35 * np.abs(grid.y))
    soft = grid.pixel + 0.006
    geometry.paint(signal, tissues.skin, geometry.coverage(skin, soft))
    geometry.paint(signal, tissues.scalp + tissues.mottle * 150 * mottle, geometry.coverage(skin + 0.012, soft))
    geometry.paint(signal, tissues.skull, geometry.coverage(bone, soft))
    marrow = np.abs(bone + 0.5 * head.skull) - 0.2 * head.skull * (1 + 0.5 * mottle)
    geometry.paint(signal, tissues.marrow, 0.8 * geometry.coverage(marrow, soft))
    geometry.paint(signal, tissues.fluid, geometry.coverage(inner, soft))
    return inner + 0.014 + 0.5 * head.sulcus


def _paint_cortex(
    signal: Field, grid: Grid, head: HeadPhantom, tissues: Tissues, brain: Field, folds: Field, mottle: Field
) -> None:
    """Paints white matter, the ribbon of grey matter along all furrows, and the furrows themselves.

    Furrows run inwards from the surface at angles bent by `folds`; each is a capsule of its own depth.
    """
    furrows_per_side = 11
    theta = np.arctan2(np.abs(grid.x), -grid.y) + 0.09 * folds
    phase = theta * (furrows_per_side / math.pi) + 0.25 * folds
    index = np.rint(phase).astype(np.int32)
    depth = head.sulci[(grid.x > 0).astype(np.int32), np.clip(index, 0, 31)]
    arc = geometry.norm(grid.x, grid.y) * (math.pi / furrows_per_side)
    across, beyond = np.abs(phase - index) * arc, np.maximum(-brain - depth, 0)
    furrow = geometry.norm(across, beyond) - head.sulcus * np.clip(1.2 + brain / 0.25, 0.35, 1)
    furrow = np.minimum(furrow, _fissures(grid, head, folds))
    to_fluid = np.minimum(-brain, furrow)
    soft = grid.pixel + 0.008
    geometry.paint(signal, tissues.grey + tissues.mottle * 60 * mottle, geometry.coverage(brain, soft))
    inside = CORTEX_THICKNESS * (1 + 0.15 * mottle) - to_fluid
    geometry.paint(signal, tissues.white + tissues.mottle * 40 * mottle, geometry.coverage(inside, soft + 0.01))
    geometry.paint(signal, tissues.fluid, geometry.coverage(np.maximum(furrow, brain), soft))


def _fissures(grid: Grid, head: HeadPhantom, folds: Field) -> Field:
    """Signed distance to the fissure between the hemispheres and, low in the head, the Sylvian fissures."""
    x, y = grid.x + 0.012 * folds, grid.y
    gap = 0.20 + 0.9 * max(0.0, 0.35 - head.level) if head.level < 0.78 else 0.0
    middle = geometry.norm(x, np.maximum(gap + 0.05 - np.abs(y + 0.02), 0)) - head.sulcus * 0.9
    if head.level > 0.6:
        return middle
    width = head.sulcus * 1.2
    for side in (-1, 1):
        points = [(side * 0.56, -0.10), (side * 0.40, -0.06), (side * 0.37, 0.06), (side * 0.44, 0.20)]
        middle = np.minimum(middle, geometry.tube(x, y, points, [width, width, width * 0.8, width * 0.4]))
    return middle


def _paint_deep_nuclei(signal: Field, grid: Grid, head: HeadPhantom, value: float) -> None:
    """Caudate, lentiform nucleus and thalamus; absent above the ventricles."""
    size = 1 - geometry.smooth_step(head.level, 0.4, 0.75)
    if size < 0.3:
        return
    for side in (-1, 1):
        for centre, radii, angle in (
            ((side * 0.125, -0.19), (0.045, 0.085), side * -0.3),
            ((side * 0.25, -0.03), (0.065, 0.135), side * -0.25),
            ((side * 0.085, 0.10), (0.075, 0.115), side * -0.35),
        ):
            scaled = (radii[0] * size, radii[1] * size)
            geometry.paint_ellipse(signal, grid, value, centre, scaled, angle, 0.02)


def _paint_ventricles(signal: Field, grid: Grid, head: HeadPhantom, value: float) -> None:
    """Lateral ventricles: frontal horns and trigones low, one long body higher; the third as a slit."""
    size = head.ventricles * (1 - 0.9 * geometry.smooth_step(head.level, 0.75, 0.95))
    x, y, soft = grid.x, grid.y, grid.pixel + 0.006
    shape = np.full(x.shape, np.inf, np.float32)
    if size > 0.2:
        for side in (-1, 1):
            front = [(side * 0.12, -0.30), (side * 0.065, -0.21), (side * 0.045, -0.10)]
            back = [(side * 0.14, 0.16), (side * 0.20, 0.26), (side * 0.16, 0.36)]
            wide = [0.030 * size, 0.036 * size, 0.022 * size]
            if head.level < 0.45:
                pieces = [(front, wide), (back, [0.016 * size, 0.040 * size, 0.012 * size])]
            else:
                body = [*front[:2], (side * 0.075, 0.0), (side * 0.12, 0.15), (side * 0.17, 0.28)]
                pieces = [(body, [r * size for r in (0.022, 0.038, 0.036, 0.042, 0.026)])]
            for points, radii in pieces:
                shape = np.minimum(shape, geometry.tube(x, y, points, radii))
    geometry.paint(signal, value, geometry.coverage(shape, soft))
    if head.level < 0.5:
        geometry.paint_ellipse(signal, grid, value, (0.0, 0.04), (0.014 * size, 0.12), 0.0, 0.008)


@dataclasses.dataclass(frozen=True, slots=True)
class Tumour:
    """A ring-enhancing tumour: centre and radius in anatomy units; radius 0 where there is none."""

    centre: geometry.Point
    radius: float
    lobes: tuple[float, float]


def create_tumour(lesion: np.random.Generator, present: bool) -> Tumour:
    """Draws place and size of a tumour within one hemisphere's white matter."""
    side = float(lesion.choice([-1, 1]))
    centre = (side * lesion.uniform(0.25, 0.33), lesion.uniform(-0.38, 0.36))
    radius = lesion.uniform(0.13, 0.21) if present else 0.0
    return Tumour(centre, radius, (lesion.uniform(0, 6.28), lesion.uniform(0, 6.28)))


def push_aside(grid: Grid, tumour: Tumour) -> Grid:
    """Mass effect: the brain around the tumour is displaced outwards."""
    dx, dy = grid.x - tumour.centre[0], grid.y - tumour.centre[1]
    pull = 0.45 * np.exp(-(dx * dx + dy * dy) / (2 * (1.6 * tumour.radius + 1e-3) ** 2))
    reach = grid.slack + tumour.radius
    return dataclasses.replace(grid, x=grid.x - pull * dx, y=grid.y - pull * dy, slack=reach)


def _paint_tumour(
    signal: Field, grid: Grid, tumour: Tumour, tissues: Tissues, brain: Field, mottle: Field
) -> Field:
    """Paints oedema, enhancing rim and necrotic core; returns the coverage of rim and core."""
    if not tumour.radius:
        return np.zeros_like(signal)
    dx, dy = grid.x - tumour.centre[0], grid.y - tumour.centre[1]
    theta = np.arctan2(dy, dx)
    outline = 1 + 0.12 * np.sin(2 * theta + tumour.lobes[0]) + 0.06 * np.sin(3 * theta + tumour.lobes[1])
    distance = geometry.norm(dx, dy) - tumour.radius * outline
    inside = geometry.coverage(brain + 0.02, 0.02)
    oedema = geometry.coverage(distance - tumour.radius * (0.55 + 0.25 * mottle), 0.12)
    towards = np.minimum if tissues.oedema < tissues.white else np.maximum
    geometry.paint(signal, towards(signal, np.float32(tissues.oedema)), 0.85 * oedema * inside)
    rim = geometry.coverage(distance, grid.pixel + 0.01) * inside
    geometry.paint(signal, tissues.rim + tissues.mottle * 150 * mottle, rim)
    geometry.paint(
        signal,
        tissues.core + tissues.mottle * 150 * mottle,
        geometry.coverage(distance + tumour.radius * (0.38 + 0.12 * mottle), 0.03) * inside,
    )
    return rim
