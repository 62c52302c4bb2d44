"""What is done with a damaged file: all that readers do with files of its kind."""

import dataclasses
import functools
import warnings
import zlib
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
      name: of the kind.
      create_seeds: whole files.
      read: reads a damaged one; raises nothing but DataError.
      own: changes of the fields of its format.
      repair: mends what would keep decoders from looking further.
    """

    name: str
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
    """Alone, and as a mask."""
    _read_alone(path, refusals)
    with refusing(path.name, refusals):
        read_indices(path, OPTIONS.pixel_limit)
        read_alpha(path, OPTIONS.pixel_limit)


def _prepare(source: str, path: Path, refusals: Refusals) -> None:
    """As `prepare` does with a file or a folder."""
    for item in READERS[source](path, OPTIONS, refusals):
        with refusing(item.key, refusals):
            list(item.load())


def _prepare_folder(source: str, path: Path, refusals: Refusals) -> None:
    _prepare(source, path.parent, refusals)


def _read_both(source: str, path: Path, refusals: Refusals) -> None:
    _read_alone(path, refusals)
    _prepare_folder(source, path, refusals)


_OF_FOLDERS = functools.partial(_prepare_folder, 'image_folder')
_NIFTI = functools.partial(_read_both, 'nifti')
TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target('png', seeds.png, _read_picture, repair=mutations.repair_png),
        Target('pictures', seeds.pictures, _read_picture),
        Target('tiff', seeds.tiff, _read_picture, (mutations.change_tiff_tag,)),
        Target('tiff_stacks', seeds.tiff_stacks, _OF_FOLDERS, (mutations.change_tiff_tag,)),
        Target('dicom', seeds.dicom, functools.partial(_read_both, 'dicom'), (mutations.change_dicom_element,)),
        Target('nifti_1', seeds.nifti_1, _NIFTI, (mutations.NIFTI_1,)),
        Target('nifti_2', seeds.nifti_2, _NIFTI, (mutations.NIFTI_2,)),
        Target('nifti_gz', seeds.nifti_gz, _NIFTI, (mutations.change_inside_gzip,)),
        Target('arrays', seeds.arrays, functools.partial(_prepare, 'arrays'), (mutations.change_text,)),
        Target('itk', seeds.itk, _NIFTI, (mutations.change_text,)),
        Target('index', seeds.index, functools.partial(_prepare_folder, 'paired_folder')),
    )
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
      target: the kind.
      folder: where they are written; empty.
    """

    def __init__(self, target: Target, folder: Path) -> None:
        self._folder, self._target, self._seeds = folder, target, target.create_seeds()
        if target.name == 'index':
            seeds.write_pairs(folder)

    def create(self, number: int) -> Path:
        """Writes the damaged file of this number; the same number gives the same file."""
        generator = np.random.default_rng([zlib.crc32(self._target.name.encode()), number])
        ending, content = self._seeds[number % len(self._seeds)]
        path = self._folder / (ending if self._target.name == 'index' else f'file{ending}')
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
