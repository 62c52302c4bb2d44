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
from absl import flags

import input_pipeline
from foundation.files import write_file
from foundation.training import launch
from foundation.training.errors import UserError
from segment.ensemble import SegmenterEnsemble
from segment.stored_images import read_images, segment_images

_IMAGES = flags.DEFINE_string('images', None, 'NumPy file of the images.', required=True)
_OUT = flags.DEFINE_string('out', None, 'New NumPy file of class ids.', required=True)
flags.adopt_module_key_flags(launch)


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


if __name__ == '__main__':
    launch.run_command(
        main, packages=('segment', 'backbones', 'input_pipeline'), user_errors=(input_pipeline.DataError,)
    )
