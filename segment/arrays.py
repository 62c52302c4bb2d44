"""`python -m segment.arrays --workdir=DIR --images=IMAGES.npy --out=IDS.npy` segments images made alike already.

For programs, as gan.evaluate: IMAGES.npy holds square images as they are stored (count, height, width, channels;
uint8 or uint16, in the window of the training), and IDS.npy then the class of every pixel. Images of another size
than the network's are resized, and probabilities back. Files of your own are read, and shown in their window, by
segment.predict.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tqdm
from absl import flags
from jaxtyping import Float32, UInt, UInt8

import input_pipeline
from foundation.files import write_file
from foundation.training import launch
from foundation.training.errors import UserError
from input_pipeline.placement import fit_image
from segment.ensemble import SegmenterEnsemble
from segment.segmentation import decide
from segment.segmenter import TrainedSegmenter

_IMAGES = flags.DEFINE_string('images', None, 'NumPy file of the images.', required=True)
_OUT = flags.DEFINE_string('out', None, 'New NumPy file of class ids.', required=True)
flags.adopt_module_key_flags(launch)
_AT_A_TIME = 32
Images = UInt[np.ndarray, 'count side side channels']


def main(argv: Sequence[str]) -> None:
    """Restores the best network and answers every image."""
    launch.reject_arguments(argv)
    workdir, out = launch.workdir(), Path(_OUT.value)
    launch.start_jax_alone('segment.arrays')
    if out.exists():
        raise UserError(f'--out={out} exists already; name a new file.')
    segmenter = SegmenterEnsemble.load([workdir], None, best=True, mirror=False, all_parts=False)
    images = read_images(Path(_IMAGES.value), segmenter.first)
    file = io.BytesIO()
    np.save(file, segment_images(segmenter, images), allow_pickle=False)
    write_file(out, file.getvalue())


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
        each = [np.asarray(member.predict(member.variables, shown)) for member in segmenter.members]
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


if __name__ == '__main__':
    launch.run_command(
        main, packages=('segment', 'backbones', 'input_pipeline'), user_errors=(input_pipeline.DataError,)
    )
