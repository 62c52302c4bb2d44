"""What every axial CT slice of the trunk shares: table, skin, fat, muscle, ribs and spine (Hounsfield)."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from input_pipeline.phantom import geometry
from input_pipeline.phantom.geometry import Field, Grid, Point

AIR, FAT, MUSCLE, MARROW, CORTEX = -1000.0, -100.0, 55.0, 230.0, 850.0
FIELD_OF_VIEW = 380.0  # mm
WARP = 0.017  # typical displacement of outlines, in anatomy units


@dataclasses.dataclass(frozen=True, slots=True)
class Torso:
    """One patient's trunk in anatomy units (190 mm).

    Attributes:
      width, depth: half axes of the rib cage from outer surface to outer surface.
      fat, muscle: thickness of the layers outside the ribs.
      bone: density of bone relative to a young adult's.
      enhancement: HU that contrast medium adds to blood, 0 without it.
      pose: see geometry.Pose.
      ribs: centre angle, half angular width of each rib in the slice, in radians; 0 is the image's right.
      chest: draws the chest, else the upper abdomen.
      level: position of the slice in that region, 0 cranial, 1 caudal.
      dome: radius of the liver's dome where it rises into the lowest slices of the chest, 0 above.
    """

    width: float
    depth: float
    fat: float
    muscle: float
    bone: float
    enhancement: float
    pose: geometry.Pose
    ribs: Float[np.ndarray, 'rib 2']
    chest: bool
    level: float
    dome: float

    @property
    def spine(self) -> Point:
        """Centre of the vertebral body."""
        return 0.0, self.depth - 0.225


def create_torso(patient: np.random.Generator, varied: np.random.Generator) -> Torso:
    """Draws the patient's trunk from `patient` and this slice's small changes from `varied`."""
    fat = patient.uniform(0.02, 0.085)
    width = patient.uniform(0.70, 0.77)
    angle, shift = patient.normal(0, 0.03), patient.normal(0, 0.02, 2)
    level = patient.uniform(0.08, 0.92)
    dome = max(0.0, level - 0.8)
    level = level + varied.uniform(-0.06, 0.06)
    return Torso(
        width=width,
        depth=width * patient.uniform(0.66, 0.76),
        fat=fat,
        muscle=patient.uniform(0.025, 0.045),
        bone=patient.uniform(0.75, 1.1),
        enhancement=float(patient.choice([0.0, 110.0, 180.0], p=[0.3, 0.4, 0.3])),
        pose=geometry.Pose(
            scale=patient.uniform(0.97, 1.03),
            angle=angle + varied.normal(0, 0.005),
            shift=(float(shift[0]), float(shift[1]) * 0.5 - 0.03),
        ),
        ribs=_place_ribs(patient, varied),
        chest=bool(patient.random() < 0.65),
        level=min(1.0, max(0.0, level)),
        dome=0.17 + 1.2 * dome + varied.uniform(-0.02, 0.02) if dome else 0.0,
    )


def _place_ribs(patient: np.random.Generator, varied: np.random.Generator) -> Float[np.ndarray, 'rib 2']:
    ribs = []
    for side in (0.0, math.pi):
        count = int(patient.integers(5, 8))
        spread = np.linspace(-0.95, 1.25, count) + patient.normal(0, 0.06, count)
        spread = spread + varied.normal(0, 0.03)
        centres = side + spread if side == 0 else side - spread
        ribs.append(np.stack([centres, patient.uniform(0.06, 0.19, count)], axis=1))
    return np.concatenate(ribs)


def paint_table(hu: Field) -> None:
    """The curved carbon couch under the patient, fixed to the scanner and so free of pose and warp."""
    size = hu.shape[0]
    pixel, top = 2 / size, int(0.7 * size)
    steps = (np.arange(size, dtype=np.float32) + 0.5) * pixel - 1
    x, y = np.meshgrid(steps, steps[top:])
    for drop, half, value in ((0.0, 0.008, -150.0), (0.09, 0.005, -350.0)):
        arc = geometry.ellipse(x, y, (0.0, drop - 1.6), (2.6, 2.37))
        shell = np.maximum(np.abs(arc) - half, np.abs(x) - 0.78 + drop)
        geometry.paint(hu[top:], value, geometry.coverage(shell, pixel))


def paint_wall(hu: Field, grid: Grid, torso: Torso, mottle: Field) -> Field:
    """Paints skin, fat and muscle; returns the signed distance to the outer surface of the rib cage."""
    ribcage = geometry.ellipse(grid.x, grid.y, (0.0, 0.0), (torso.width, torso.depth))
    # Fat gathers at the flanks, muscle beside the spine and on the front of the chest.
    flank = np.abs(grid.x) / torso.width
    behind = np.clip(grid.y / torso.depth, -1, 1)
    muscle = torso.muscle * (1 + 0.9 * np.clip(behind, 0, 1) + 0.5 * flank)
    if torso.chest:
        pectoral = np.exp(-(((flank - 0.5) / 0.3) ** 2)) * np.clip(-behind, 0, 1)
        muscle = muscle + 0.06 * pectoral * (1 - torso.level)
    skin = ribcage - muscle - torso.fat * (0.8 + 0.5 * flank * flank + 0.4 * np.clip(-behind, 0, 1))
    geometry.paint(hu, 10.0, geometry.coverage(skin, grid.pixel))
    geometry.paint(hu, FAT + 8 * mottle, geometry.coverage(skin + 0.014, grid.pixel))
    geometry.paint(hu, MUSCLE + 6 * mottle, geometry.coverage(ribcage - muscle, grid.pixel))
    seams = np.abs(mottle + 0.9 * np.sin(9 * flank)) - 0.10  # fat between the muscle bellies
    seams = np.maximum(seams * 0.1, np.abs(ribcage - 0.45 * muscle) - 0.3 * muscle)
    geometry.paint(hu, -60.0, 0.8 * geometry.coverage(seams, max(grid.pixel, 0.01)))
    return ribcage


def paint_ribs(hu: Field, grid: Grid, torso: Torso, ribcage: Field) -> None:
    """Paints all ribs of the slice as arcs of the rib cage: cortex outside, marrow inside."""
    angles = np.linspace(-math.pi, math.pi, 721, dtype=np.float32)
    offsets = np.angle(np.exp(1j * (angles[:, None] - torso.ribs[:, 0]))) / torso.ribs[:, 1]
    profile = np.sqrt(np.maximum(1 - offsets**2, 0)).max(axis=1) * 1.6 - 0.6
    half = np.clip(profile, -1, 1).astype(np.float32) * 0.03
    theta = np.arctan2(grid.y / torso.depth, grid.x / torso.width)
    index = ((theta + math.pi) * (720 / (2 * math.pi))).astype(np.int32)
    distance = np.abs(ribcage + 0.035) - half[np.clip(index, 0, 720)]
    geometry.paint(hu, CORTEX * torso.bone, geometry.coverage(distance, grid.pixel))
    geometry.paint(hu, MARROW * torso.bone, 0.8 * geometry.coverage(distance + 0.014, grid.pixel))


def paint_spine(hu: Field, grid: Grid, torso: Torso, mottle: Field) -> None:
    """Paints a vertebra with its arch, spinal canal and processes."""
    x, y = torso.spine
    hard, soft = CORTEX * torso.bone, MARROW * torso.bone
    for side in (-1, 1):
        geometry.paint_ellipse(hu, grid, hard * 0.75, (x + side * 0.135, y + 0.125), (0.085, 0.028), side * 0.45)
        geometry.paint_ellipse(hu, grid, soft, (x + side * 0.135, y + 0.125), (0.065, 0.013), side * 0.45)
        geometry.paint_ellipse(hu, grid, MUSCLE, (x + side * 0.10, y + 0.235), (0.075, 0.055), side * -0.3)
    geometry.paint_ellipse(hu, grid, hard * 0.8, (x, y + 0.22), (0.020, 0.07))
    geometry.paint_ellipse(hu, grid, hard * 0.85, (x, y + 0.128), (0.088, 0.072))
    geometry.paint_ellipse(hu, grid, hard * 0.9, (x, y), (0.128, 0.098))
    marrow = geometry.ellipse(grid.x, grid.y, (x, y), (0.108, 0.08))
    geometry.paint(hu, soft + 30 * torso.bone * mottle, geometry.coverage(marrow, grid.pixel))
    geometry.paint_ellipse(hu, grid, 15.0, (x, y + 0.128), (0.060, 0.044))
    geometry.paint_ellipse(hu, grid, 42.0, (x, y + 0.128), (0.034, 0.025))
