"""What is done with a damaged file: all that readers do with files of its kind."""

import dataclasses
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from input_pipeline.errors import DataError, Refusals
from input_pipeline.inputs import find_incoming
from input_pipeline.readers import READERS
from input_pipeline.readers.paths import refusing
from input_pipeline.readers.raster import read_alpha, read_indices
from input_pipeline.records import PIXEL_LIMIT, ReaderOptions
from tests.fuzz import mutations, seeds
from tests.fuzz.mutations import Mutation

OPTIONS = ReaderOptions(modality='', percentiles=(0.5, 99.5), pixel_limit=PIXEL_LIMIT, axis=2, patient_pattern='')


@dataclasses.dataclass(frozen=True)
class Target:
    """A kind of file, and how it is read.

    Attributes:
      create_seeds: whole files.
      read: reads a damaged one; raises nothing but DataError.
      own: changes of the fields of its format.
      repair: mends what would keep decoders from looking further.
    """

    create_seeds: Callable[[], seeds.Files]
    read: Callable[[Path, Refusals], None]
    own: Sequence[Mutation] = ()
    repair: Mutation | None = None


def _read_alone(path: Path, refusals: Refusals) -> None:
    """As `segment.predict` and `detect.predict` do."""
    for incoming in find_incoming([path], OPTIONS, refusals):
        with refusing(incoming.source, refusals):
            incoming.load()


def _read_picture(path: Path, refusals: Refusals) -> None:
    _read_alone(path, refusals)
    with refusing(path.name, refusals):
        read_indices(path, OPTIONS.pixel_limit)
        read_alpha(path, OPTIONS.pixel_limit)


def _read_data_set(source: str) -> Callable[[Path, Refusals], None]:
    """As `prepare` does with the folder of the file, or with the file."""

    def read(path: Path, refusals: Refusals) -> None:
        for item in READERS[source](path, OPTIONS, refusals):
            with refusing(item.key, refusals):
                list(item.load())

    return read


def _read_folder(source: str) -> Callable[[Path, Refusals], None]:
    prepare = _read_data_set(source)

    def read(path: Path, refusals: Refusals) -> None:
        _read_alone(path, refusals)
        prepare(path.parent, refusals)

    return read


def _read_pairs(path: Path, refusals: Refusals) -> None:
    _read_data_set('paired_folder')(path.parent, refusals)


TARGETS: Mapping[str, Target] = {
    'png': Target(seeds.png, _read_picture, repair=mutations.repair_png),
    'pictures': Target(seeds.pictures, _read_picture),
    'tiff': Target(seeds.tiff, _read_picture),
    'dicom': Target(seeds.dicom, _read_folder('dicom'), (mutations.change_dicom_element,)),
    'nifti_1': Target(seeds.nifti_1, _read_folder('nifti'), (mutations.NIFTI_1,)),
    'nifti_2': Target(seeds.nifti_2, _read_folder('nifti'), (mutations.NIFTI_2,)),
    'nifti_gz': Target(seeds.nifti_gz, _read_folder('nifti')),
    'arrays': Target(seeds.arrays, _read_data_set('arrays'), (mutations.change_text,)),
    'itk': Target(seeds.itk, _read_folder('nifti'), (mutations.change_text,)),
    'index': Target(seeds.index, _read_pairs),
}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a damaged file.

    Attributes:
      kind: 'read', 'refused', or the type of an exception that nobody caught.
      text: the refusal, or what the exception says.
    """

    kind: str
    text: str

    @property
    def is_caught(self) -> bool:
        """Whether it was read or refused."""
        return self.kind in ('read', 'refused')


class Case:
    """Damages files of one kind, and reads them.

    Args:
      name: one of `TARGETS`.
      folder: where they are written; empty.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self._name, self._folder, self._target = name, folder, TARGETS[name]
        self._seeds = self._target.create_seeds()
        if name == 'index':
            seeds.write_pairs(folder)

    def create(self, number: int) -> Path:
        """Writes the damaged file of this number; the same number gives the same file."""
        generator = np.random.default_rng([sorted(TARGETS).index(self._name), number])
        ending, content = self._seeds[number % len(self._seeds)]
        path = self._folder / (ending if self._name == 'index' else f'file{ending}')
        path.write_bytes(mutations.mutate(content, self._target.own, self._target.repair, generator))
        return path

    def run(self, number: int) -> Outcome:
        """Damages and reads."""
        path = self.create(number)
        refusals = Refusals(skip=True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                self._target.read(path, refusals)
        except DataError as error:
            return Outcome('refused', str(error))
        except Exception as error:
            return Outcome(type(error).__name__, str(error)[:300])
        finally:
            path.unlink()
        if refusals.reasons:
            return Outcome('refused', next(iter(refusals.reasons.values())))
        return Outcome('read', '')


def count_outcomes(name: str, numbers: range) -> tuple[dict[str, int], list[tuple[int, Outcome]]]:
    """How often each kind of outcome came, and the cases that nobody caught."""
    counts: dict[str, int] = {}
    uncaught = []
    with tempfile.TemporaryDirectory() as folder:
        case = Case(name, Path(folder))
        for number in numbers:
            outcome = case.run(number)
            counts[outcome.kind] = counts.get(outcome.kind, 0) + 1
            if not outcome.is_caught:
                uncaught.append((number, outcome))
    return counts, uncaught
