"""Whether the files of a data set look like what the user declared them to be: what `prepare` warns about."""

import collections
import contextlib
import dataclasses
import functools
import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from input_pipeline.dataset.catalogue import nearest
from input_pipeline.errors import DataError
from input_pipeline.identification.exemplars import Exemplars
from input_pipeline.identification.measures import DEFAULT_MEASURE
from input_pipeline.identification.recognition import NONE, Recogniser
from input_pipeline.identification.report import judge
from input_pipeline.identification.thumbnails import Picture, shrink, spread
from input_pipeline.records import Item, Record

_ITEMS = 50
_SLICES = 8  # of a volume every eighth slice is looked at
_FEWEST = 8
# Pictures that must speak against what was declared; of the right kind nearly all speak for it.
_CONTRADICTING = 0.8
_RADIOGRAPHS = {'CR', 'DR', 'DX', 'RG'}  # DICOM's names of plain X-ray pictures


class DeclaredSample:
    """Pictures of some items, taken while the items are loaded for another purpose: nothing is decoded twice.

    Attributes:
      pictures: taken so far, in no particular order.
    """

    def __init__(self) -> None:
        self.pictures: list[Picture] = []
        self._keys: set[str] = set()  # items may be loaded twice
        self._lock = threading.Lock()  # items are loaded by several threads

    def tap(self, items: Sequence[Item]) -> list[Item]:
        """The same items; at most `_ITEMS` of them, evenly spread, leave pictures here when they are loaded."""
        chosen = set(spread(range(len(items)), _ITEMS))
        return [
            dataclasses.replace(item, load=functools.partial(self._load, item.load)) if place in chosen else item
            for place, item in enumerate(items)
        ]

    def _load(self, load: Callable[[], Iterator[Record]]) -> Iterator[Record]:
        lone: Record | None = None
        for place, record in enumerate(load()):
            lone = record if place == 0 else None
            if place % _SLICES == _SLICES // 2:  # the first slices of a volume may be nearly empty
                self._add(record)
            yield record
        if lone is not None:
            self._add(lone)

    def _add(self, record: Record) -> None:
        # What cannot be made grey has no likeness, and whether it can be stored is decided elsewhere.
        with contextlib.suppress(DataError):
            picture = shrink(record)
            with self._lock:
                if record.key not in self._keys:
                    self.pictures.append(picture)
                self._keys.add(record.key)


def require_kind(exemplars: Exemplars, kind: str) -> None:
    """Checks that a declared kind is known; '' declares none.

    Raises:
      DataError: it is not.
    """
    if kind and kind not in exemplars.kinds:
        known = ', '.join(exemplars.kinds)
        raise DataError(f'--kind={kind}: the exemplars are of {known}.{nearest(kind, exemplars.kinds)}')


def describe_likeness(exemplars: Exemplars, pictures: Sequence[Picture], kind: str) -> str:
    """One line on what pictures look like; it begins with 'warning' where they contradict what was declared.

    Declared are the kind, and the modality of each picture, where it has one. A picture contradicts its kind
    when it is of another kind or of none, and its modality when it is of a kind of another modality. A warning
    needs at least 8 pictures, and 80 percent of them to contradict.

    Args:
      exemplars: of the kinds that are known.
      pictures: a sample of the data set.
      kind: the declared one, '' for none.
    """
    if not pictures:
        return 'looks like  unknown: no picture could be compared'
    answers = Recogniser(exemplars, DEFAULT_MEASURE)(np.stack([picture.pixels for picture in pictures]))
    names = [exemplars.kinds[place] if place >= 0 else NONE for place in answers.kind]
    modalities = dict(zip((*exemplars.kinds, NONE), (*exemplars.modalities, ''), strict=True))
    other_kind = [bool(kind) and name != kind for name in names]
    other_modality = [
        _differ(picture.modality, modalities[name]) for picture, name in zip(pictures, names, strict=True)
    ]
    verdict = judge('', DEFAULT_MEASURE, answers, {})
    found = ', '.join(f'{name} {count}' for name, count in verdict.counts.items())
    looks = f'{found} ({len(pictures)} images compared, mean likeness {verdict.score:.2f})'
    if len(pictures) >= _FEWEST:
        if np.mean(other_kind) >= _CONTRADICTING:
            return f'warning     the images do not look like the declared kind {kind}, but like: {looks}'
        if np.mean(other_modality) >= _CONTRADICTING:
            [(modality, _)] = collections.Counter(picture.modality for picture in pictures).most_common(1)
            return f'warning     the images do not look like the declared modality {modality}, but like: {looks}'
    return f'looks like  {looks}'


def _differ(declared: str, recognised: str) -> bool:
    if declared in ('', 'unknown') or not recognised:
        return False
    return declared != recognised and not {declared, recognised} <= _RADIOGRAPHS
