"""Changes of images that make nothing synthetic: a sound detector's opinion outlasts them."""

import numpy as np
from jaxtyping import Float, Int
from scipy import ndimage

from detect.data import read_batches
from detect.evaluation.changed import Change
from detect.evaluation.measured import Detector, Measured
from detect.restoring import Images
from detect.tampering.tampering import tamper_identically

_DONORS = 64  # real images of each modality whose grey levels are given to others
_NEIGHBOURS = (3, 5)  # pixels along the squares whose means order equal pixels
_TAMPERED_MM = 51.2  # what a whole image is taken to measure, so that a cube's grid is not that of the image
_BATCH_SIZE = 64

Image = Float[np.ndarray, 'height width channel']


def match_grey_levels(detector: Detector, measured: Measured, seed: int) -> Change:
    """Gives every image, real or synthetic, exactly the grey levels of a real one of its modality.

    Whatever could be told from histograms cannot be told afterwards; what lies between neighbouring pixels stays
    about as it was.

    Args:
      detector, measured: see there.
      seed: of the choice among the real images.
    """
    random = np.random.default_rng(seed)
    modalities, real = np.array(measured.modalities), measured.labels == 0
    chosen = {}
    for modality in sorted(set(measured.modalities)):
        own = real & (modalities == modality)
        places = np.flatnonzero(own if own.any() else real)  # one without real images borrows from all
        chosen[modality] = np.sort(random.choice(places, min(_DONORS, len(places)), replace=False))
    every = np.unique(np.concatenate(list(chosen.values())))
    levels = _read_grey_levels(detector, measured, every)
    donors = {modality: levels[np.searchsorted(every, places)] for modality, places in chosen.items()}
    drawn = random.random(len(modalities))

    def change(batch: Images, places: Int[np.ndarray, ' image']) -> Images:
        given = (donors[modalities[place]] for place in places)
        return np.stack(
            [
                give_grey_levels(image, own[int(drawn[place] * len(own))])
                for image, own, place in zip(batch, given, places, strict=True)
            ]
        )

    return change


def _read_grey_levels(
    detector: Detector, measured: Measured, places: Int[np.ndarray, ' donor']
) -> Float[np.ndarray, 'donor pixel channel']:
    """Sorted grey levels of the images at these places, which rise."""
    wanted = np.isin(np.arange(len(measured.labels)), places)
    batches = list(read_batches(measured.images, detector.trained.config.resolution, _BATCH_SIZE, wanted))
    shown = np.concatenate(batches)
    return np.sort(shown.reshape(len(shown), -1, shown.shape[-1]), axis=1)


def give_grey_levels(image: Image, levels: Float[np.ndarray, 'pixel channel']) -> Image:
    """The image with these grey levels in the order of its own; equal ones are ordered by those around them.

    Exact histogram specification (Coltuc, Bolon and Chassery 2006, IEEE Trans. Image Processing 15:1143, with two
    neighbourhoods).

    Args:
      image: in any units.
      levels: as many as the image has pixels, rising, for each channel.
    """
    given = np.empty_like(image)
    for channel in range(image.shape[-1]):
        plane = image[..., channel]
        around = [ndimage.uniform_filter(plane.astype(np.float64), side).ravel() for side in _NEIGHBOURS]
        order = np.lexsort([*reversed(around), plane.ravel()])
        given[..., channel].flat[order] = levels[:, channel]
    return given


def put_back(seed: int) -> Change:
    """Cuts the middle out of every image, about, takes it to a grid of other pixels, and puts it back."""
    random = np.random.default_rng(seed)

    def change(batch: Images, places: Int[np.ndarray, ' image']) -> Images:
        return np.stack([_put_back(image, random) for image in batch])

    return change


def _put_back(image: Image, random: np.random.Generator) -> Image:
    spacing = _TAMPERED_MM / max(image.shape[:2])
    row, column = (float(random.uniform(0.4, 0.6) * (size - 1)) for size in image.shape[:2])
    planes = [
        tamper_identically(image[None, ..., channel], (spacing,) * 3, (0.0, row, column), random)[0][0]
        for channel in range(image.shape[-1])
    ]
    return np.stack(planes, axis=-1).astype(np.float32)
