"""An invisible mark in generated images: `gan.generate --watermark=KEYFILE` writes it, `read_mark` finds it again.

Its payload is the first 32 bits of the SHA-256 of the generator's weights: whoever has the key learns which
generator drew an image, also from a picture that lost all that its file had told.
"""

import dataclasses
from pathlib import Path

import numpy as np

from foundation.export.folder import Stored
from foundation.export.origin import Origin, ValueForm
from foundation.training.errors import UserError
from foundation.watermark import SMALLEST, Finding, MarkKey, detect, embed, read_key
from input_pipeline.errors import DataError, Refusals
from input_pipeline.inputs import find_incoming
from input_pipeline.records import PIXEL_LIMIT, reader_options

_LARGEST_CHANGE = 2 / 255  # of the range of values: two grey levels of 8 bits
_LARGEST_HOUNSFIELD = 4.0
_MOST_SLICES = 64  # of a file that are looked at: each takes about a second where there is no mark


@dataclasses.dataclass(frozen=True)
class Watermark:
    """What is written into every image of a folder.

    Attributes:
      key: that finds it again.
      payload: 32 bits.
      bound: see `largest_change`.
    """

    key: MarkKey
    payload: int
    bound: int

    def apply(self, stored: Stored) -> Stored:
        """The image with the mark; see `foundation.watermark.embed`."""
        return embed(stored, self.key, self.payload, bound=self.bound)

    def describe(self) -> dict[str, str]:
        """For manifest and card: the payload, and which key it was, without the key."""
        return {'payload': f'{self.payload:08x}', 'key': self.key.name}


def create_watermark(path: Path, origin: Origin) -> Watermark:
    """The mark of images of this origin.

    Args:
      path: of the key.
      origin: of the images.

    Raises:
      UserError: when the key cannot be read, or the images are too small or too coarse for a mark.
    """
    key, resolution = read_key(path), origin.model.resolution
    if resolution < SMALLEST:
        raise UserError(
            f'--watermark needs images of {SMALLEST} pixels or more, and this generator draws {resolution}; '
            'leave it out.'
        )
    return Watermark(key, int(origin.model.weights_sha256[:8], 16), largest_change(origin.form))


def largest_change(form: ValueForm) -> int:
    """Steps of the stored type by which a mark may change a value: 4 HU in CT, else two grey levels of 8 bits.

    Raises:
      UserError: where one step is more than that.
    """
    largest, share = np.iinfo(form.dtype).max, _LARGEST_CHANGE
    if form.is_hounsfield and form.intensity is not None:
        low, high = form.intensity
        share = _LARGEST_HOUNSFIELD / abs(high - low)
    steps = int(share * largest * (1 + 1e-9))
    if not steps:
        raise UserError(
            f'--watermark changes CT by at most {_LARGEST_HOUNSFIELD:g} HU, and one step of these images is '
            f'{_LARGEST_HOUNSFIELD / share / largest:.3g}; leave it out, or train on a narrower window or 16 bits.'
        )
    return steps


def read_mark(path: Path, key: MarkKey) -> Finding:
    """What a file says of a key's mark; of its first slices the one that says most, all paid for.

    Args:
      path: of a picture, a DICOM file or a volume, as `gan.translate` reads them.
      key: of the mark.

    Raises:
      UserError: when the file cannot be read as an image.
    """
    refusals = Refusals(skip=True)
    try:
        found = find_incoming([path], reader_options(2, PIXEL_LIMIT), refusals)
        records = [record for one in found for record in one.load().records][:_MOST_SLICES]
    except DataError as error:
        raise UserError(f'{path}: {str(error).rstrip(".")}; nothing can be looked for in it.') from error
    if not records:
        reason = next(iter(refusals.reasons.values()), 'it holds no image')
        raise UserError(f'{path} cannot be read ({str(reason).rstrip(".")}); nothing can be looked for in it.')
    findings = [detect(record.image, key) for record in records]
    best = min(findings, key=lambda finding: finding.p_value)
    return best._replace(p_value=min(best.p_value * len(findings), 1.0))
