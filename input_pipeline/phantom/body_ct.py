"""Axial CT of the trunk: puts wall, bones and the organs of one region together."""

import numpy as np

from input_pipeline.phantom import abdomen_ct, chest_ct, geometry, texture, torso
from input_pipeline.phantom.geometry import Field
from input_pipeline.phantom.randomness import Purpose, create_generator


def draw_ct(patient_seed: int, slice_index: int, size: int, lesion: bool) -> tuple[Field, Field]:
    """CT slice in Hounsfield units and the coverage of its lesion, without supersampling."""
    patient = create_generator(patient_seed, Purpose.ANATOMY, 0)
    varied = create_generator(patient_seed, Purpose.SLICE, slice_index)
    body = torso.create_torso(patient, varied)
    grid = geometry.create_grid(size, body.pose, texture.create_warp(patient_seed, slice_index, size, torso.WARP))
    mottle = texture.create_fractal(create_generator(patient_seed, Purpose.TEXTURE, 0), size, 12, 3)
    hu = np.full((size, size), torso.AIR, np.float32)
    torso.paint_table(hu)
    ribcage = torso.paint_wall(hu, grid, body, mottle)
    paint_region = chest_ct.paint_chest if body.chest else abdomen_ct.paint_abdomen
    organ = paint_region(hu, grid, body, ribcage, mottle, patient)
    torso.paint_ribs(hu, grid, body, ribcage)
    torso.paint_spine(hu, grid, body, mottle)
    mask = np.zeros_like(hu)
    if lesion:
        placed = create_generator(patient_seed, Purpose.LESION, 0)
        growth = varied.uniform(0.85, 1.0)
        if body.chest:
            mask = chest_ct.paint_nodule(hu, grid, body, placed, growth)
        else:
            mask = abdomen_ct.paint_metastasis(hu, grid, organ, placed, growth)
    noise = create_generator(patient_seed, Purpose.NOISE, slice_index)
    return texture.add_gaussian_noise(noise, hu, 18.0), mask
