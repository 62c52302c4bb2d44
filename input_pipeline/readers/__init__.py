"""Readers: from files as a user has them to items and records.

A reader is a function of (path, options, refusals) that looks at names and headers and returns items, whose
`load` reads the pixels.
"""

from collections.abc import Callable
from pathlib import Path

from input_pipeline.errors import Refusals
from input_pipeline.readers import arrays, dicom, image_folder, nifti, paired_folder
from input_pipeline.records import Item, ReaderOptions

READERS: dict[str, Callable[[Path, ReaderOptions, Refusals], list[Item]]] = {
    'image_folder': image_folder.scan,
    'paired_folder': paired_folder.scan,
    'dicom': dicom.scan,
    'nifti': nifti.scan,
    'arrays': arrays.scan,
}

__all__ = ['paths', 'raster']
