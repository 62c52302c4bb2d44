"""Files that are segmented in tests, and the stand-in's masks of them."""

import dataclasses

import cv2
import nibabel as nib
import numpy as np

from input_pipeline.errors import Refusals
from input_pipeline.inputs import find_incoming
from input_pipeline.records import ReaderOptions
from segment.formats.prediction import Prediction
from tests.input_pipeline.series import random_values
from tests.segment.thresholds import CHECKSUM, CLASSES, segment

OPTIONS = ReaderOptions('', (0.5, 99.5), 2**24, 2, '')


def predict(*paths, axis=2, classes=CLASSES) -> Prediction:
    """The stand-in's masks of the only case in the paths."""
    options = ReaderOptions('', (0.5, 99.5), 2**24, axis, '')
    (incoming,) = find_incoming(paths, options, Refusals(skip=False))
    case = incoming.load()
    found = segment(case)
    found = dataclasses.replace(found, mass=np.resize(found.mass, len(classes)))
    return Prediction(incoming, case, found, classes, CHECKSUM)


def save_nifti(path, kind=nib.Nifti1Image, codes='PIL', order='<'):
    """A tilted volume whose two affines differ, with texts that may name a patient."""
    angle = np.deg2rad(20)
    affine = np.eye(4)
    affine[:3, :3] = [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    affine = affine @ np.diag([2.0, 3.0, 4.0, 1.0])
    affine[:3, 3] = 10, -20, 30
    image = kind(random_values(5, 6, 7), affine, kind.header_class(endianness=order))
    turn = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(codes))
    image = image.as_reoriented(turn)
    image.set_sform(image.affine, 1)
    moved = image.affine.copy()
    moved[:3, 3] += 1.5
    image.set_qform(moved, 2)
    image.header.set_xyzt_units('mm', 'sec')
    image.header['descrip'] = b'Mueller Jane'
    if 'db_name' in image.header:
        image.header['db_name'] = b'Mueller Jane'
    image.header['cal_max'] = 99
    image.header.extensions.append(nib.nifti1.Nifti1Extension('comment', b'Mueller Jane'))
    nib.save(image, path)
    return nib.load(path)


def save_picture(path, seed=0, shape=(12, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    cv2.imwrite(str(path), values)
    return values
