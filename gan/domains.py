"""The two domains of a run that translates images: what is asked of the target, and both opened together."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import input_pipeline
from backbones.images import DataFacts, ImageRequest, facts_from_json, facts_of
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError

DOMAINS_FILE = 'domains.json'
TrainingImages = input_pipeline.ImageData | input_pipeline.Domains


def request_target(own: Mapping[str, Any] | None, source: ImageRequest, *, paired: bool) -> ImageRequest | None:
    """The images that those of the source are translated to; None where nothing is translated.

    Args:
      own: section `target` of the config; None without.
      source: what is asked of the images to be translated.
      paired: whether both are in the same order.
    """
    if own is None:
        return None
    window = tuple(own['window_range']) if own['window'] == 'physical' else own['window']
    return dataclasses.replace(
        source,
        name=own['name'] or source.name,
        preprocessing=dataclasses.replace(source.preprocessing, window=window),
        modalities=tuple(own['modalities']),
        classes=tuple(own['classes']),
        seed=source.seed if paired else source.seed + 1,
    )


def open_domains(
    source: ImageRequest, target: ImageRequest, split: str, *, training: bool, paired: bool
) -> input_pipeline.Domains:
    """A split of both, for training or to be read once; see `input_pipeline.open_domains`."""
    return input_pipeline.open_domains(
        *(functools.partial(own.open, split, flip=training, in_memory=training) for own in (source, target)),
        data_dir=source.data_dir,
        split=split,
        paired=paired,
    )


@dataclasses.dataclass(frozen=True)
class Domain:
    """What a run remembers of the images of a domain: facts, and their modality, 'unknown' of several."""

    facts: DataFacts
    modality: str

    @property
    def window(self) -> tuple[float, float]:
        """Values of -1 and 1, which are the same for all of its images."""
        assert self.facts.intensity is not None  # or it would not have been opened
        return self.facts.intensity


def domain_files(images: TrainingImages) -> dict[str, dict[str, Any]]:
    """What a workdir keeps of each domain beside the facts of both: which values their -1 and 1 mean."""
    if not isinstance(images, input_pipeline.Domains):
        return {}
    content = {}
    for name, own in {'source': images.source, 'target': images.target}.items():
        modalities = set(own.records.modalities)
        modality = modalities.pop() if len(modalities) == 1 else 'unknown'
        content[name] = {'facts': dataclasses.asdict(facts_of(own)), 'modality': modality}
    return {DOMAINS_FILE: content}


def read_domains(workdir: Path) -> tuple[Domain, Domain]:
    """Source and target of the run in `workdir`.

    Raises:
      UserError: when they are missing or damaged.
    """
    content = workdirs.read_json(workdir, DOMAINS_FILE)
    try:
        source, target = (
            Domain(facts_from_json(own['facts']), own['modality'])
            for own in (content['source'], content['target'])
        )
        return source, target
    except (KeyError, TypeError) as error:
        raise UserError(f'{workdir / DOMAINS_FILE} is damaged ({error}); restore it from a copy.') from error
