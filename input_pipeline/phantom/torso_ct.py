"""Phantom CT of chest and abdomen: ellipses in Hounsfield units."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from input_pipeline.phantom import geometry, texture
from input_pipeline.phantom.geometry import Field, Grid, Point
from input_pipeline.phantom.randomness import Purpose, create_generator

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


def paint_abdomen(
    hu: Field, grid: Grid, body: Torso, ribcage: Field, mottle: Field, patient: np.random.Generator
) -> Field:
    """Paints the organs of the upper abdomen; returns the signed distance to the liver."""
    cavity = ribcage + 0.085
    geometry.paint(hu, FAT + 10 * mottle, geometry.coverage(cavity, grid.pixel))
    spine = body.spine
    _paint_bowel(hu, grid, body, cavity, patient)
    _paint_spleen_and_stomach(hu, grid, body, cavity, patient)
    for side in (-1, 1):
        geometry.paint_ellipse(hu, grid, MUSCLE, (side * 0.165, spine[1] + 0.01), (0.065, 0.085), side * -0.3)
        _paint_kidney(hu, grid, body, (side * 0.315, spine[1] - 0.02), side, patient)
    liver = _paint_liver(hu, grid, body, cavity, mottle, patient)
    blood = 45 + body.enhancement
    geometry.paint_ellipse(hu, grid, blood, (0.045, spine[1] - 0.155), (0.058, 0.056))
    geometry.paint_ellipse(hu, grid, blood * 0.85, (-0.105, spine[1] - 0.135), (0.062, 0.050), 0.2)
    return liver


def _paint_liver(
    hu: Field, grid: Grid, body: Torso, cavity: Field, mottle: Field, patient: np.random.Generator
) -> Field:
    """Right lobe against the wall, left lobe reaching over the midline; smaller towards the feet."""
    size = patient.uniform(0.92, 1.08) * (1 - 0.25 * body.level)
    right = geometry.ellipse(grid.x, grid.y, (-0.40, -0.02), (0.36 * size, 0.42 * size), 0.15)
    left = geometry.ellipse(grid.x, grid.y, (-0.08, -0.26), (0.34 * size, 0.14 * size), 0.12)
    liver = geometry.smooth_union(right, left, 0.12)
    hollow = geometry.ellipse(grid.x, grid.y, (-0.02, 0.16), (0.26, 0.30))
    liver = np.maximum(geometry.smooth_difference(liver, hollow, 0.06), cavity + 0.012)
    value = 58 + 0.42 * body.enhancement
    geometry.paint(hu, value + 5 * mottle, geometry.coverage(liver, grid.pixel))
    vessels = texture.grow_vessels(patient, (-0.22, -0.03), math.pi, 0.13, 0.020)
    share = texture.paint_vessels(grid, vessels) * geometry.coverage(liver + 0.03, 0.03)
    geometry.paint(hu, 42 + 0.75 * body.enhancement, 0.8 * share)
    if patient.random() < 0.6:
        geometry.paint_ellipse(hu, grid, 8.0, (-0.235, -0.17), (0.055, 0.085), 0.5)
    return liver


def _paint_spleen_and_stomach(
    hu: Field, grid: Grid, body: Torso, cavity: Field, patient: np.random.Generator
) -> None:
    """Spleen as a crescent at the left back; stomach in front with gas above its fluid."""
    size = patient.uniform(0.9, 1.1) * (1 - 0.35 * body.level)
    spleen = geometry.ellipse(grid.x, grid.y, (0.46, 0.13), (0.17 * size, 0.26 * size), -0.25)
    inside = geometry.ellipse(grid.x, grid.y, (0.33, 0.08), (0.15, 0.22), -0.25)
    spleen = np.maximum(geometry.smooth_difference(spleen, inside, 0.03), cavity + 0.015)
    geometry.paint(hu, 52 + 0.5 * body.enhancement, geometry.coverage(spleen, grid.pixel))
    wall = geometry.ellipse(grid.x, grid.y, (0.30, -0.17), (0.23 * size, 0.15 * size), 0.35)
    wall = np.maximum(wall, cavity + 0.015)
    geometry.paint(hu, 60 + 0.3 * body.enhancement, geometry.coverage(wall, grid.pixel))
    content = wall + 0.022
    geometry.paint(hu, 20.0, geometry.coverage(content, grid.pixel))
    gas = np.maximum(content, grid.y + patient.uniform(0.16, 0.26))
    geometry.paint(hu, -950.0, geometry.coverage(gas, grid.pixel))


def _paint_kidney(
    hu: Field, grid: Grid, body: Torso, centre: Point, side: int, patient: np.random.Generator
) -> None:
    """Kidney with bright cortex, darker pyramids and fat in the sinus, which opens towards the spine."""
    size = patient.uniform(0.9, 1.08) * geometry.smooth_step(body.level + 0.25 + 0.1 * side, 0.1, 0.45)
    if size < 0.25:
        return
    cortex = 35 + 0.9 * body.enhancement
    geometry.paint_ellipse(hu, grid, cortex, centre, (0.105 * size, 0.145 * size), side * 0.5)
    geometry.paint_ellipse(
        hu, grid, 32 + 0.55 * body.enhancement, centre, (0.07 * size, 0.105 * size), side * 0.5, 0.02
    )
    sinus = (centre[0] - side * 0.055 * size, centre[1] - 0.02)
    geometry.paint_ellipse(hu, grid, -70.0, sinus, (0.055 * size, 0.045 * size), side * 0.3, 0.02)


def _paint_bowel(hu: Field, grid: Grid, body: Torso, cavity: Field, patient: np.random.Generator) -> None:
    """Loops of small and large bowel in the front and left; some with gas."""
    count = 5 + int(9 * body.level)
    places = patient.uniform([-0.25, -0.32], [0.52, 0.12], (16, 2))
    radii, gas = patient.uniform(0.045, 0.085, (16, 2)), patient.random(16) < 0.35
    layer, share = np.zeros_like(hu), np.zeros_like(hu)
    for place, (rx, ry), has_gas in zip(places[:count].tolist(), radii[:count].tolist(), gas, strict=False):
        geometry.paint_ellipse(layer, grid, 55 + 0.25 * body.enhancement, tuple(place), (rx, ry))
        geometry.paint_ellipse(layer, grid, 25.0, tuple(place), (rx - 0.018, ry - 0.018))
        if has_gas:
            geometry.paint_ellipse(layer, grid, -900.0, (place[0], place[1] - 0.012), (rx - 0.025, ry - 0.032))
        geometry.paint_ellipse(share, grid, 1.0, tuple(place), (rx, ry))
    geometry.paint(hu, layer, share * geometry.coverage(cavity + 0.02, grid.pixel))


def paint_metastasis(hu: Field, grid: Grid, liver: Field, lesion: np.random.Generator, growth: float) -> Field:
    """Paints a necrotic liver metastasis, darker than the liver around; returns its coverage."""
    centre = (lesion.uniform(-0.46, -0.36), lesion.uniform(-0.12, 0.10))
    radius = lesion.uniform(0.09, 0.14) * growth
    shape = geometry.ellipse(
        grid.x, grid.y, centre, (radius, radius * lesion.uniform(0.8, 1.0)), lesion.uniform(0, 3)
    )
    core = geometry.coverage(np.maximum(shape, liver), max(grid.pixel, 0.02))
    geometry.paint(hu, lesion.uniform(-20, 5), core)
    return core


LUNG, BLOOD = -850.0, 45.0


def paint_chest(
    hu: Field, grid: Grid, body: Torso, ribcage: Field, mottle: Field, patient: np.random.Generator
) -> Field:
    """Paints lungs, heart, great vessels and airways; returns the signed distance to the lungs."""
    heart_size = geometry.smooth_step(body.level, 0.30, 0.55) * patient.uniform(0.9, 1.12)
    cavity = ribcage + 0.075
    geometry.paint(hu, MUSCLE, geometry.coverage(ribcage + 0.03, grid.pixel))
    middle = _mediastinum(grid, body, heart_size)
    lungs = geometry.smooth_difference(cavity, middle, 0.05)
    fat = np.maximum(middle, cavity)
    geometry.paint(hu, -85 + 15 * mottle, geometry.coverage(np.maximum(fat, -lungs), grid.pixel))
    if body.dome:
        liver = geometry.ellipse(grid.x, grid.y, (-0.43, 0.0), (body.dome, 1.1 * body.dome))
        inside = geometry.coverage(np.maximum(liver, lungs), grid.pixel)
        geometry.paint(hu, 60 + 0.45 * body.enhancement + 5 * mottle, inside)
        lungs = np.maximum(lungs, -liver)
    air = LUNG + 25 * mottle + 90 * grid.y  # blood sinks: the back of a lying patient's lung is denser
    geometry.paint(hu, air, geometry.coverage(lungs, grid.pixel))
    _paint_lung_vessels(hu, grid, lungs, patient)
    if heart_size > 0.3:
        _paint_heart(hu, grid, body, heart_size, patient)
    if body.level < 0.45:
        _paint_great_vessels(hu, grid, body)
    _paint_aorta_and_sternum(hu, grid, body)
    return lungs


def _mediastinum(grid: Grid, body: Torso, heart_size: float) -> Field:
    """Signed distance to all that lies between the lungs."""
    x, y = grid.x, grid.y
    front, spine = -body.depth, body.spine
    width = 0.035 + 0.10 * (1 - geometry.smooth_step(body.level, 0.25, 0.5))
    strip = np.maximum(np.abs(x - 0.01) - width, -y + front)
    column = geometry.ellipse(x, y, (spine[0], spine[1] + 0.02), (0.15, 0.13))
    aorta = geometry.ellipse(x, y, (spine[0] + 0.12, spine[1] - 0.08), (0.088, 0.088))
    shape = geometry.smooth_union(geometry.smooth_union(strip, column, 0.08), aorta, 0.04)
    if heart_size > 0.3:
        heart = geometry.ellipse(x, y, (0.10, -0.09), (0.32 * heart_size, 0.235 * heart_size), 0.42)
        atrium = geometry.ellipse(x, y, (-0.10, -0.02), (0.16 * heart_size, 0.20 * heart_size))
        return geometry.smooth_union(shape, geometry.smooth_union(heart, atrium, 0.08), 0.06)
    hila = geometry.ellipse(x, y, (0.0, 0.06), (0.25, 0.12))
    upper = geometry.ellipse(x, y, (0.01, -0.10), (0.17, 0.24))
    return geometry.smooth_union(shape, geometry.smooth_union(upper, hila, 0.08), 0.05)


def _paint_lung_vessels(hu: Field, grid: Grid, lungs: Field, patient: np.random.Generator) -> None:
    trees = [
        texture.grow_vessels(patient, (side * 0.22, 0.03), math.pi * (side < 0), 0.125, 0.012) for side in (-1, 1)
    ]
    share = texture.paint_vessels(grid, trees[0] + trees[1])
    geometry.paint(hu, -60.0, 0.8 * share * geometry.coverage(lungs + 0.015, 0.03))


def _paint_heart(hu: Field, grid: Grid, body: Torso, size: float, patient: np.random.Generator) -> None:
    """Myocardium with the left ventricle towards the apex, the other chambers behind and in front."""
    blood = MUSCLE - 10 + body.enhancement
    muscle = MUSCLE + 0.35 * body.enhancement
    tilt = 0.42 + patient.normal(0, 0.05)
    geometry.paint_ellipse(hu, grid, muscle, (0.105, -0.085), (0.295 * size, 0.21 * size), tilt)
    geometry.paint_ellipse(hu, grid, blood * 0.95, (-0.095, -0.02), (0.135 * size, 0.165 * size))
    geometry.paint_ellipse(hu, grid, blood, (0.055, 0.045), (0.15 * size, 0.095 * size), 0.1)
    geometry.paint_ellipse(hu, grid, blood, (0.215, -0.015), (0.165 * size, 0.085 * size), tilt + 0.05)
    geometry.paint_ellipse(hu, grid, blood * 0.9, (0.075, -0.175), (0.185 * size, 0.085 * size), tilt)
    geometry.paint_ellipse(hu, grid, -70.0, (-0.035, -0.115), (0.045, 0.018), -0.8, 0.02)


def _paint_great_vessels(hu: Field, grid: Grid, body: Torso) -> None:
    blood = BLOOD + body.enhancement
    if body.level < 0.22:  # aortic arch: an oblique sausage to the left of the trachea
        geometry.paint_ellipse(hu, grid, blood, (0.055, -0.06), (0.085, 0.185), -0.45)
        geometry.paint_ellipse(hu, grid, AIR, (-0.02, 0.06), (0.048, 0.052))
    else:  # ascending aorta, pulmonary trunk with its right branch, main bronchi
        geometry.paint_ellipse(hu, grid, blood, (-0.045, -0.12), (0.092, 0.092))
        geometry.paint_ellipse(hu, grid, blood * 1.05, (0.10, -0.13), (0.075, 0.105), -0.5)
        geometry.paint_ellipse(hu, grid, blood * 1.05, (-0.02, -0.005), (0.18, 0.04), -0.15)
        geometry.paint_ellipse(hu, grid, AIR, (-0.105, 0.075), (0.055, 0.033), 0.35)
        geometry.paint_ellipse(hu, grid, AIR, (0.085, 0.085), (0.055, 0.030), -0.35)
    geometry.paint_ellipse(hu, grid, blood * 1.1, (-0.125, -0.075), (0.045, 0.05))


def _paint_aorta_and_sternum(hu: Field, grid: Grid, body: Torso) -> None:
    spine = body.spine
    geometry.paint_ellipse(hu, grid, BLOOD + body.enhancement, (spine[0] + 0.12, spine[1] - 0.085), (0.066, 0.066))
    geometry.paint_ellipse(hu, grid, 45.0, (spine[0] + 0.02, spine[1] - 0.14), (0.038, 0.026))
    front = -body.depth + 0.02
    geometry.paint_ellipse(hu, grid, 0.7 * CORTEX * body.bone, (0.0, front), (0.115, 0.034))
    geometry.paint_ellipse(hu, grid, MARROW * body.bone, (0.0, front), (0.095, 0.018))


def paint_nodule(hu: Field, grid: Grid, body: Torso, lesion: np.random.Generator, growth: float) -> Field:
    """Paints a round solid nodule with a spiculated edge into one lung; returns its coverage."""
    side = 1 if body.dome else int(lesion.choice([-1, 1]))  # the dome fills the right lung
    centre = (side * lesion.uniform(0.46, 0.53), lesion.uniform(0.06, 0.19))
    radius = lesion.uniform(0.06, 0.095) * growth
    spikes, phase = int(lesion.integers(9, 15)), lesion.uniform(0, 2 * math.pi, 2)
    density = lesion.uniform(20, 70)
    mask = np.zeros_like(hu)
    window = grid.window(centre, 1.8 * radius)
    dx, dy = grid.x[window] - centre[0], grid.y[window] - centre[1]
    theta, distance = np.arctan2(dy, dx), geometry.norm(dx, dy)
    rays = np.maximum(np.sin(spikes * theta + float(phase[1])), 0)
    lobes = 1 + 0.08 * np.sin(3 * theta + float(phase[0]))
    core = geometry.coverage(distance - radius * lobes, max(grid.pixel, 0.02))
    fringe = np.clip(1 - (distance - radius) / (0.7 * radius), 0, 1) * rays * rays * 0.5
    geometry.paint(hu[window], density, np.maximum(core, fringe))
    mask[window] = core
    return mask


def draw_ct(patient_seed: int, slice_index: int, size: int, lesion: bool) -> tuple[Field, Field]:
    """CT slice in Hounsfield units and the coverage of its lesion, without supersampling."""
    patient = create_generator(patient_seed, Purpose.ANATOMY, 0)
    varied = create_generator(patient_seed, Purpose.SLICE, slice_index)
    body = create_torso(patient, varied)
    grid = geometry.create_grid(size, body.pose, texture.create_warp(patient_seed, slice_index, size, WARP))
    mottle = texture.create_fractal(create_generator(patient_seed, Purpose.TEXTURE, 0), size, 12, 3)
    hu = np.full((size, size), AIR, np.float32)
    paint_table(hu)
    ribcage = paint_wall(hu, grid, body, mottle)
    paint_region = paint_chest if body.chest else paint_abdomen
    organ = paint_region(hu, grid, body, ribcage, mottle, patient)
    paint_ribs(hu, grid, body, ribcage)
    paint_spine(hu, grid, body, mottle)
    mask = np.zeros_like(hu)
    if lesion:
        placed = create_generator(patient_seed, Purpose.LESION, 0)
        growth = varied.uniform(0.85, 1.0)
        if body.chest:
            mask = paint_nodule(hu, grid, body, placed, growth)
        else:
            mask = paint_metastasis(hu, grid, organ, placed, growth)
    noise = create_generator(patient_seed, Purpose.NOISE, slice_index)
    return texture.add_gaussian_noise(noise, hu, 18.0), mask
