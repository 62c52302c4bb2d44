"""Axial CT of the chest between aortic arch and diaphragm."""

import math

import numpy as np

from input_pipeline.phantom import geometry, texture, torso
from input_pipeline.phantom.geometry import Field, Grid
from input_pipeline.phantom.torso import Torso

LUNG, BLOOD = -850.0, 45.0


def paint_chest(
    hu: Field, grid: Grid, body: Torso, ribcage: Field, mottle: Field, patient: np.random.Generator
) -> Field:
    """Paints lungs, heart, great vessels and airways; returns the signed distance to the lungs."""
    heart_size = geometry.smooth_step(body.level, 0.30, 0.55) * patient.uniform(0.9, 1.12)
    cavity = ribcage + 0.075
    geometry.paint(hu, torso.MUSCLE, geometry.coverage(ribcage + 0.03, grid.pixel))
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
    blood = torso.MUSCLE - 10 + body.enhancement
    muscle = torso.MUSCLE + 0.35 * body.enhancement
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
        geometry.paint_ellipse(hu, grid, torso.AIR, (-0.02, 0.06), (0.048, 0.052))
    else:  # ascending aorta, pulmonary trunk with its right branch, main bronchi
        geometry.paint_ellipse(hu, grid, blood, (-0.045, -0.12), (0.092, 0.092))
        geometry.paint_ellipse(hu, grid, blood * 1.05, (0.10, -0.13), (0.075, 0.105), -0.5)
        geometry.paint_ellipse(hu, grid, blood * 1.05, (-0.02, -0.005), (0.18, 0.04), -0.15)
        geometry.paint_ellipse(hu, grid, torso.AIR, (-0.105, 0.075), (0.055, 0.033), 0.35)
        geometry.paint_ellipse(hu, grid, torso.AIR, (0.085, 0.085), (0.055, 0.030), -0.35)
    geometry.paint_ellipse(hu, grid, blood * 1.1, (-0.125, -0.075), (0.045, 0.05))


def _paint_aorta_and_sternum(hu: Field, grid: Grid, body: Torso) -> None:
    spine = body.spine
    geometry.paint_ellipse(hu, grid, BLOOD + body.enhancement, (spine[0] + 0.12, spine[1] - 0.085), (0.066, 0.066))
    geometry.paint_ellipse(hu, grid, 45.0, (spine[0] + 0.02, spine[1] - 0.14), (0.038, 0.026))
    front = -body.depth + 0.02
    geometry.paint_ellipse(hu, grid, 0.7 * torso.CORTEX * body.bone, (0.0, front), (0.115, 0.034))
    geometry.paint_ellipse(hu, grid, torso.MARROW * body.bone, (0.0, front), (0.095, 0.018))


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
