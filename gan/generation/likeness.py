"""Whether drawn images lie among the training images. The gate does not ask that: noise resembles nobody."""

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float

import input_pipeline
from foundation.export.manifest import Release
from foundation.statistics.jackknife import FeatureSample, Missing
from gan.features import create_extractor
from gan.generator import TrainedGenerator
from gan.reporting.runs import ReportedRun
from gan.sampler import Drawn
from gan.samples import read_reals
from gan.scores.neighbours import precision_recall_density_coverage

_LOOKED_AT = 64  # images, drawn and real ones
_FEWEST = 16  # of which a share tells something
_REALS = 512  # among which they are looked for
_SHARE = 0.1  # of what real images reach, below which images are far from them
_EARLY = 0.1  # of the schedule
Images = Float[np.ndarray, 'count height width channel']


class Likeness:
    """Looks at the first images on their way.

    They are said to lie among the training images by their precision (Kynkaanniemi et al. 2019, arXiv:1904.06991)
    in random features, as the watch has them, beside that of other training images.

    Args:
      trained: the generator.
      run: that trained it.
    """

    def __init__(self, trained: TrainedGenerator, run: ReportedRun) -> None:
        self._trained, self._run = trained, run
        self._drawn: list[Images] = []

    def look(self, drawn: Iterable[Drawn]) -> Iterator[Drawn]:
        """Passes them on."""
        for batch in drawn:
            missing = _LOOKED_AT - sum(map(len, self._drawn))
            self._drawn.append(batch.images[:missing])
            yield batch

    def remark(self, release: Release) -> Release:
        """The release with a note where images are far from the training images, or may be."""
        return dataclasses.replace(release, note=self._describe())

    def _describe(self) -> str:
        share = self._trained.position.images_seen / self._run.images_planned
        seen = f'the generator has seen {100 * share:.2g}% of the images of its schedule' if share < 1 else ''
        found = self._compare()
        if found is None:
            return f'{seen}, so it may draw little but noise; look at them.'.capitalize() if share < _EARLY else ''
        drawn, real = found
        if drawn > _SHARE * real:
            return ''
        return (
            f'What is drawn is far from the training images: {drawn:.0%} of the images lie among them, of other '
            f'training images {real:.0%}{f" ({seen})" if seen else ""}; look at them before you use any.'
        )

    def _compare(self) -> tuple[float, float] | None:
        """Shares of drawn and of real images that lie among training images; None where nobody can tell."""
        drawn, real = np.concatenate(self._drawn), self._read_reals()
        if real is None or len(drawn) < _FEWEST or len(real) < 4 * _FEWEST:
            return None
        extract = create_extractor(self._trained.network.resolution)
        reference, others = (np.asarray(extract(images)) for images in np.split(real, [-(len(real) // 4)]))
        shares = _precision(np.asarray(extract(drawn)), reference), _precision(others[:_LOOKED_AT], reference)
        return shares if shares[1] > 0 else None  # of NaN, too

    def _read_reals(self) -> Images | None:
        """Training images; None where they are not here any more."""
        trained = self._trained
        try:
            # Not drawn anew where they are missing, as the gate and training do with phantoms.
            request = dataclasses.replace(trained.recipe.images, phantom=None)
            images = request.open(trained.recipe.split, flip=False, in_memory=False)
            if images.fingerprint != trained.facts.fingerprint:
                return None
            count = min(_REALS, images.num_examples)
            return read_reals(images, trained.network.resolution, count)[0][..., : images.channels]
        except input_pipeline.DataError:
            return None


def _precision(looked_at: Float[np.ndarray, 'count feature'], reference: Float[np.ndarray, '_ feature']) -> float:
    samples = (FeatureSample(values, np.arange(len(values)) % 2, 2) for values in (looked_at, reference))
    found = precision_recall_density_coverage(*samples)['precision']
    return float('nan') if isinstance(found, Missing) else found.value
