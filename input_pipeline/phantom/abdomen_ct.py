"""Axial CT of the upper abdomen: liver, stomach, spleen, kidneys, bowel and great vessels."""

import math

import numpy as np

from input_pipeline.phantom import geometry, texture, torso
from input_pipeline.phantom.geometry import Field, Grid, Point
from input_pipeline.phantom.torso import Torso


def paint_abdomen(
    hu: Field, grid: Grid, body: Torso, ribcage: Field, mottle: Field, patient: np.random.Generator
) -> Field:
    """Paints the organs of the upper abdomen; returns the signed distance to the liver."""
    cavity = ribcage + 0.085
    geometry.paint(hu, torso.FAT + 10 * mottle, geometry.coverage(cavity, grid.pixel))
    spine = body.spine
    _paint_bowel(hu, grid, body, cavity, patient)
    _paint_spleen_and_stomach(hu, grid, body, cavity, patient)
    for side in (-1, 1):
        geometry.paint_ellipse(
            hu, grid, torso.MUSCLE, (side * 0.165, spine[1] + 0.01), (0.065, 0.085), side * -0.3
        )
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
