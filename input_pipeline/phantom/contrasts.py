"""The same heads in several contrasts: registered images of one anatomy, for translation from one to another."""

import dataclasses
import functools
from collections.abc import Iterator

from input_pipeline.errors import DataError
from input_pipeline.phantom.dataset import SIZES, create_records
from input_pipeline.phantom.images import CONTRASTS
from input_pipeline.phantom.randomness import Purpose, create_generator
from input_pipeline.records import Item, Record

CLASSES = ('lesion', 'contrast')
MODALITIES = {'CT': 'CT', 'T1': 'MR', 'T2': 'MR'}  # by contrast, as DICOM calls them


@dataclasses.dataclass(frozen=True)
class ContrastOptions:
    """What a data set of heads holds.

    Attributes:
      count: images of each contrast.
      size: pixels along each side, 8 to 1024.
      contrasts: of `CT`, `T1`, `T2`.
      prevalence: share of the patients with a tumour, of each contrast in turn, or one for all. Who has one where
        it is rare has one where it is frequent; where shares are equal, so are the masks.
      seed: in [0, 2**64); decides every pixel. Equal seeds mean equal patients, in sets of other contrasts too.
      images_per_patient: slices of each patient.
      classes: what they tell: `lesion`, the contrast and whether there is a tumour; `contrast`, that alone.

    Raises:
      DataError: a value is out of its range.
    """

    count: int
    size: int
    contrasts: tuple[str, ...]
    prevalence: tuple[float, ...]
    seed: int
    images_per_patient: int
    classes: str

    def __post_init__(self) -> None:
        known = ', '.join(CONTRASTS)
        checks = {
            f'count is {self.count}: ask for at least one image': self.count >= 1,
            f'size is {self.size}: choose {SIZES[0]} to {SIZES[1]} pixels': SIZES[0] <= self.size <= SIZES[1],
            f'contrasts are {self.contrasts}: choose one or more of {known}, each once': (
                0 < len(self.contrasts) == len(set(self.contrasts) & set(CONTRASTS))
            ),
            f'prevalence is {self.prevalence}: give one share from 0 to 1, or one of each contrast': (
                len(self.prevalence) in (1, len(self.contrasts)) and all(0 <= own <= 1 for own in self.prevalence)
            ),
            f'seed is {self.seed}: choose a whole number from 0 to 2**64 - 1': 0 <= self.seed < 2**64,
            f'images_per_patient is {self.images_per_patient}: choose at least 1': self.images_per_patient >= 1,
            f'classes are {self.classes!r}: choose one of {", ".join(CLASSES)}': self.classes in CLASSES,
        }
        for message, good in checks.items():
            if not good:
                raise DataError(f'contrasts: {message}.')


def scan_contrasts(options: ContrastOptions) -> list[Item]:
    """An item for each patient and contrast, of class `<contrast>_healthy` or `_lesion`, or `<contrast>`."""
    shares = options.prevalence * (len(options.contrasts) if len(options.prevalence) == 1 else 1)
    items = []
    for index in range(-(-options.count // options.images_per_patient)):
        patient = f'head-{options.seed}-{index:05d}'
        luck = create_generator((options.seed << 64) + index, Purpose.LESION, 1).random()
        for contrast, share in zip(options.contrasts, shares, strict=True):
            lesion, label = luck < share, contrast
            if options.classes == 'lesion':
                label += '_lesion' if lesion else '_healthy'
            items.append(
                Item(
                    key=f'{patient}-{contrast}',
                    patient=patient,
                    split=None,
                    label=label,
                    dtype='uint16',
                    channels=1,
                    load=functools.partial(_load, options, index, patient, contrast, lesion, label),
                )
            )
    return items


def _load(
    options: ContrastOptions, index: int, patient: str, contrast: str, lesion: bool, label: str
) -> Iterator[Record]:
    slices = min(options.images_per_patient, options.count - index * options.images_per_patient)
    return create_records(
        CONTRASTS[contrast],
        (options.seed << 64) + index,
        [f'{patient}-{contrast}/{number:03d}' for number in range(slices)],
        size=options.size,
        lesion=lesion,
        patient=patient,
        modality=MODALITIES[contrast],
        label=label,
    )
