"""The shortcut card: what a detector would score if it had learned something else than traces of generators.

Beside every headline (see Wang et al. 2020, Corvi et al. 2023): labels by chance, another codec, headers alone,
histograms alone, the histograms of other images, and a tampering that puts back what was there.
"""

import dataclasses
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier

import input_pipeline
from detect.data import binary_labels, read_batches
from detect.degradations import jpeg
from detect.detector import TrainedDetector
from detect.evaluation.outputs import SplitOutputs, logits_of_split
from detect.evaluation.perturbations import Change, by_tile, logits_after, on_device
from detect.metrics import decisions
from detect.metrics.ranking import auroc_of
from detect.metrics.samples import weigh_once
from detect.scoring import NETWORK
from detect.tampering.tampering import tamper_identically
from detect.trained_network import Images

_DONORS = 64  # real images of each modality whose grey levels are given to others
_NEIGHBOURS = (3, 5)  # pixels along the squares whose means order equal pixels
_TAMPERED_MM = 51.2  # what a whole image is taken to measure, so that a cube's grid is not that of the image
_BATCH_SIZE = 64

Image = Float[np.ndarray, 'height width channel']


def match_grey_levels(detector: TrainedDetector, measured: SplitOutputs, seed: int) -> Change:
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
    detector: TrainedDetector, measured: SplitOutputs, places: Int[np.ndarray, ' donor']
) -> Float[np.ndarray, 'donor pixel channel']:
    """Sorted grey levels of the images at these places, which rise."""
    wanted = np.isin(np.arange(len(measured.labels)), places)
    batches = list(read_batches(measured.images, detector.recipe.resolution, _BATCH_SIZE, wanted))
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


LARGEST_CHANGE = 0.02  # of the AUROC when a codec is swapped
_QUALITY = 95
_MARGIN = 0.05  # of the AUROC, between a detector and what grey levels alone tell
_BINS = 16
_TREES = 200


@dataclasses.dataclass(frozen=True)
class Entry:
    """One line of the card.

    Attributes:
      name: of the test.
      value: an AUROC, or for `swap` its change; None where it was not run.
      wanted: what it should be, in words.
      passed: whether it is; None where that cannot be said.
      remark: what was done.
    """

    name: str
    value: float | None
    wanted: str
    passed: bool | None
    remark: str


def draw_card(
    detector: TrainedDetector, measured: SplitOutputs, control: TrainedDetector | None, seed: int
) -> list[Entry]:
    """All lines.

    Args:
      detector: whose card it is.
      measured: its test split.
      control: a run of the same config on random labels; None where there is none.
      seed: of forests and places.
    """
    changes = {
        'jpeg': by_tile(detector, on_device(lambda images: jpeg(images, jnp.full(len(images), _QUALITY)))),
        'matched': match_grey_levels(detector, measured, seed),
        'put back': by_tile(detector, put_back(seed)),
    }
    after = logits_after(detector, measured.images, changes)
    return [
        _random_labels(control),
        *_codec_swaps(detector, measured, after['jpeg']),
        *_floors(detector, measured, seed),
        _matched_grey_levels(measured, after['matched']),
        _identity_tampering(measured, after['put back']),
    ]


def _random_labels(control: TrainedDetector | None) -> Entry:
    wanted = 'about 0.5: patients of the test split cannot be known'
    if control is None:
        remark = 'train with --config.data.labels=random, and name that run with --control'
        return Entry('random labels', None, wanted, None, remark)
    images = control.recipe.data.open('test', train=False)
    labels = binary_labels(images)
    value = auroc_of(logits_of_split(control, images), labels)
    # Three standard errors of the AUROC of scores that know nothing (Hanley and McNeil 1982), patients as units.
    units = [len({images.patients[place] for place in np.flatnonzero(labels == own)}) for own in (0, 1)]
    error = np.sqrt((sum(units) + 1) / (12 * units[0] * units[1]))
    remark = f'labels by a coin for each patient, {images.num_examples} test images'
    return Entry('random labels', value, wanted, bool(abs(value - 0.5) < 3 * error), remark)


def _codec_swaps(
    detector: TrainedDetector, measured: SplitOutputs, compressed: Float[np.ndarray, ' image']
) -> list[Entry]:
    """JPEG on one class alone, and on both."""
    clean, labels = measured.scored.scores[NETWORK], measured.labels
    before, entries = auroc_of(clean, labels), []
    threshold = detector.calibration.thresholds[NETWORK].youden
    for name, chosen in (('synthetic', labels == 1), ('real', labels == 0), ('all', labels >= 0)):
        swapped = np.where(chosen, compressed, clean)
        change = auroc_of(swapped, labels) - before
        made = decisions.decide(swapped, labels, weigh_once(len(labels)), threshold=threshold)
        entries.append(
            Entry(
                f'codec swap: {name} images as JPEG',
                change,
                f'change of the AUROC within {LARGEST_CHANGE}',
                bool(abs(change) <= LARGEST_CHANGE),
                f'quality {_QUALITY}; then {decisions.recall(made).item():.3f} of the synthetic and '
                f'{decisions.real_accuracy(made).item():.3f} of the real images are called rightly',
            )
        )
    return entries


def _floors(detector: TrainedDetector, measured: SplitOutputs, seed: int) -> list[Entry]:
    """What can be told without looking at the picture."""
    train = detector.recipe.data.with_every_source().open('train', train=False)
    entries = []
    for name, describe in (('header', _headers), ('histogram', _make_histograms(detector))):
        forest = RandomForestClassifier(_TREES, min_samples_leaf=5, random_state=seed)
        forest.fit(describe(train), binary_labels(train))
        scores = forest.predict_proba(describe(measured.images))[:, 1]
        value = auroc_of(np.asarray(scores, np.float64), measured.labels)
        remark = {
            'header': 'a random forest on size, modality, spacing and intensity range of each record',
            'histogram': f'a random forest on the {_BINS} bins of each image',
        }[name]
        own = auroc_of(measured.scored.scores[NETWORK], measured.labels)
        passed = bool(value < (0.6 if name == 'header' else own - _MARGIN))
        wanted = 'about 0.5' if name == 'header' else f'well below the {own:.3f} of the network'
        entries.append(Entry(f'{name} alone', value, wanted, passed, remark))
    return entries


def _headers(images: input_pipeline.ImageData) -> Float[np.ndarray, 'image field']:
    names = sorted(set(images.records.modalities))
    rows = []
    for case in images.cases(1):
        for record in case.records:
            number = names.index(record.modality) if record.modality in names else -1
            rows.append([*record.image.shape[:2], number, *record.spacing, *record.intensity, *record.window])
    return np.array(rows, np.float64)


def _make_histograms(
    detector: TrainedDetector,
) -> Callable[[input_pipeline.ImageData], Float[np.ndarray, 'image bin']]:
    side = detector.recipe.resolution

    def describe(images: input_pipeline.ImageData) -> Float[np.ndarray, 'image bin']:
        edges = np.linspace(-1, 1, _BINS + 1)
        return np.array(
            [
                np.histogram(image, edges)[0]
                for batch in read_batches(images, side, _BATCH_SIZE, None)
                for image in batch
            ],
            np.float64,
        )

    return describe


def _matched_grey_levels(measured: SplitOutputs, matched: Float[np.ndarray, ' image']) -> Entry:
    own, value = (auroc_of(logits, measured.labels) for logits in (measured.scored.scores[NETWORK], matched))
    return Entry(
        'grey levels of other images',
        value,
        f'within {_MARGIN} of the {own:.3f} as they are: it does not go by histograms',
        bool(own - value <= _MARGIN),
        'every image, of both kinds, with exactly the histogram of a real image of its modality',
    )


def _identity_tampering(measured: SplitOutputs, tampered: Float[np.ndarray, ' image']) -> Entry:
    """Real images with a part put back after resampling: nothing in them is synthetic."""
    real = measured.labels == 0
    clean = measured.scored.scores[NETWORK][real]
    labels = np.repeat([0, 1], len(clean)).astype(np.int32)
    value = auroc_of(np.concatenate([clean, tampered[real]]), labels)
    return Entry(
        'identity tampering',
        value,
        'about 0.5: nothing was made anew',
        bool(abs(value - 0.5) < 0.1),
        'real images, a part of each cut out, resampled, and pasted back, against the untouched ones',
    )


def failures(card: Sequence[Entry]) -> list[str]:
    """Names of the lines that did not pass."""
    return [entry.name for entry in card if entry.passed is False]
