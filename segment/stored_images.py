"""Images that are arrays, made alike already: what a segmenter can be given, and the class of every pixel."""

from pathlib import Path

import numpy as np
import tqdm
from jaxtyping import Float32, UInt, UInt8

import input_pipeline
from foundation.training.errors import UserError
from input_pipeline.placement import fit_image
from segment.ensemble import SegmenterEnsemble
from segment.segmentation import decide
from segment.segmenter import TrainedSegmenter

_AT_A_TIME = 32
Images = UInt[np.ndarray, 'count side side channels']


def read_images(path: Path, segmenter: TrainedSegmenter) -> Images:
    """The images of a file, as this network can be given them.

    Raises:
      UserError: when they cannot be read, or are of another kind.
    """
    try:
        images = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f'--images={path} cannot be read as a NumPy file ({" ".join(str(error).split())}).'
        ) from error
    if segmenter.recipe.images.preprocessing.context or segmenter.recipe.volume_patch is not None:
        raise UserError(
            'the segmenter sees slices beside each, which single images do not have; train one in 2-D without.'
        )
    square = isinstance(images, np.ndarray) and images.ndim == 4 and images.shape[1] == images.shape[2] > 0
    if not square or images.dtype not in (np.uint8, np.uint16) or images.shape[3] != segmenter.channels:
        raise UserError(
            f'--images={path} must hold square images of {segmenter.channels} channels as uint8 or uint16, '
            '(count, height, width, channels).'
        )
    return images


def segment_images(segmenter: SegmenterEnsemble, images: Images) -> UInt8[np.ndarray, 'count side side 1']:
    """The class of every pixel, 0 the background, with parts taken away as validation chose."""
    resolution, side = segmenter.first.recipe.images.preprocessing.resolution, images.shape[1]
    found = []
    for start in tqdm.trange(0, len(images), _AT_A_TIME, unit=' batches'):
        shown = np.stack([_resize(image, resolution) for image in images[start : start + _AT_A_TIME]])
        each = [np.stack([*member.predict(member.variables, shown)]) for member in segmenter.members]
        for probabilities in np.mean(each, axis=0, dtype=np.float32):
            own = input_pipeline.restore_size(np.asarray(probabilities), side, side, 'pad')
            found.append(decide([own]).with_largest_parts(segmenter.largest_alone).ids[0])
    return np.stack(found)[..., None] if found else np.zeros((*images.shape[:3], 1), np.uint8)


def _resize(
    image: UInt[np.ndarray, 'side side channels'], resolution: int
) -> Float32[np.ndarray, 'resolution resolution channels']:
    """In [-1, 1] at the network's size, rounded as images of a data set are."""
    largest = np.float32(np.iinfo(image.dtype).max)
    fitted = fit_image(image.astype(np.float32) / largest, resolution, 'pad')
    return input_pipeline.to_unit(np.rint(fitted * largest).astype(image.dtype))
