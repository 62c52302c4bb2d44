"""What a detector's scores mean: all that is fitted once the network is trained, on validation alone."""

import dataclasses
import functools
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64

import input_pipeline
from detect.conformal import Conformal, fit_conformal
from detect.data import binary_labels, choose_evenly, is_real, read_batches
from detect.fusion import Stacking, fit_logit_temperature, fit_stacking
from detect.kinds import KINDS_FILE, PictureKinds, fit_kinds
from detect.metrics.thresholds import DecisionThresholds, fit_thresholds
from detect.scoring import ANOMALIES_FILE, FUSED, LOCATING, NETWORK, Anomalies, Scored, fit_anomalies
from detect.trained_network import TrainedNetwork, restore_network
from foundation.statistics.conformal import conformal_p_values
from foundation.training import parallel
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from input_pipeline.dataset.mixture import MixtureForm

DETECTOR_FILE = 'detector.json'
_PENALTY = 1e-3  # of the weights of stacking
_BATCH_SIZE = 64
_VALIDATION = 'validation'
_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What was fitted on validation.

    Attributes:
      temperature: of the network's logit alone.
      stacking: of all scores, to calibrated log odds: the fused score.
      thresholds: by the name of a score.
      conformal: of the fused score.
      strangeness: sorted scores of real validation images, from which the anomaly's p value follows.
      map_ends: distances of features that a map shows as not strange at all, and as fully strange: the median and
        the 99.9th percentile of the strangest places of real validation images.
      modalities: of the training images; of others nothing is known.
      prevalence: share of synthetic images in validation.
      form: how images are made to be like those of training, see `input_pipeline.dataset.mixture.Form`.
      checksum: of the weights that this belongs to.
      step: of their checkpoint.
      depths: stored types of the real images before they were made alike; () of older runs.
      kinds: sorted distances of real validation images to the nearest real training image, and of synthetic ones
        to the nearest synthetic one, see `PictureKinds`; () of older runs.
    """

    temperature: float
    stacking: Stacking
    thresholds: Mapping[str, DecisionThresholds]
    conformal: Conformal
    strangeness: tuple[float, ...]
    map_ends: tuple[float, float]
    modalities: tuple[str, ...]
    prevalence: float
    form: MixtureForm
    checksum: str
    step: int
    depths: tuple[str, ...] = ()
    kinds: tuple[tuple[float, ...], ...] = ()

    def fuse(self, scores: Mapping[str, Float64[np.ndarray, ' image']]) -> Float64[np.ndarray, ' image']:
        """Calibrated log odds of synthetic, at the share of synthetic images in validation."""
        return self.stacking.log_odds({name: scores[name] for name in self.stacking.names})

    def kind_p_values(
        self, distances: Float64[np.ndarray, 'kind image']
    ) -> tuple[Float64[np.ndarray, ' image'], ...]:
        """How often real validation images are as far from training, and how often synthetic ones."""
        pairs = zip(self.kinds, distances, strict=True)
        return tuple(conformal_p_values(np.array(own), far) for own, far in pairs)

    def heat(self, maps: Float[np.ndarray, 'image height width']) -> Float[np.ndarray, 'image height width']:
        """Maps of distances from 0, as in most real images, to 1, on one scale for all."""
        low, high = self.map_ends
        return np.clip((maps - low) / (high - low), 0, 1)


def write_calibration(workdir: Path, calibration: Calibration) -> None:
    """Keeps it."""
    content = dataclasses.asdict(calibration) | {'form': calibration.form.to_dict()}
    workdirs.write_json(workdir / DETECTOR_FILE, content)


def read_calibration(workdir: Path) -> Calibration:
    """What `write_calibration` wrote.

    Raises:
      UserError: when the run is not finished, or the file is damaged.
    """
    if not (workdir / DETECTOR_FILE).is_file():
        raise UserError(f'{workdir} holds no finished detector; run its training command to the end.')
    content = workdirs.read_json(workdir, DETECTOR_FILE)
    try:
        return Calibration(
            **content | {
                'stacking': Stacking.from_dict(content['stacking']),
                'thresholds': {name: DecisionThresholds(**own) for name, own in content['thresholds'].items()},
                'form': MixtureForm.from_dict(content['form']),
                'conformal': Conformal.from_dict(content['conformal']),
                'strangeness': tuple(map(float, content['strangeness'])),
                'map_ends': tuple(map(float, content['map_ends'])),
                'modalities': tuple(map(str, content['modalities'])),
                'depths': tuple(map(str, content.get('depths', ()))),
                'kinds': tuple(tuple(map(float, own)) for own in content.get('kinds', ())),
            }
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError, input_pipeline.DataError) as error:
        raise UserError(
            f'{workdir / DETECTOR_FILE} is damaged ({error}); remove it and run the training command again.'
        ) from error


def calibrate(workdir: Path, train: input_pipeline.ImageData, validation: input_pipeline.ImageData) -> None:
    """Fits anomalies on real training images, all else on validation, and writes both; nothing where it is done.

    Raises:
      UserError: when there are too few images.
    """
    trained = restore_network(workdir, None, batch_size=_BATCH_SIZE)
    if _is_calibrated(workdir, trained.checksum):
        return
    _LOGGER.info('Fitting anomaly scores on real training images.')
    anomalies, modalities = _fit_anomalies(trained, train)
    scored = score_split(trained, anomalies, validation)
    kinds = _fit_kinds(trained, train)
    calibration = dataclasses.replace(
        _fit(trained, scored, validation, modalities), kinds=_measure_kinds(trained, kinds, validation)
    )
    if parallel.is_first_process():
        anomalies.save(workdir / ANOMALIES_FILE)
        kinds.save(workdir / KINDS_FILE)
        write_calibration(workdir, calibration)


def _is_calibrated(workdir: Path, checksum: str) -> bool:
    """Whether all is there, kinds of pictures too, which older versions did not look at."""
    if not (workdir / DETECTOR_FILE).is_file():
        return False
    calibration = read_calibration(workdir)
    return calibration.checksum == checksum and bool(calibration.kinds)


def _fit_kinds(trained: TrainedNetwork, train: input_pipeline.ImageData) -> PictureKinds:
    """From as many real as synthetic training images, those of anomaly scores at most."""
    real, most = is_real(train), trained.recipe.anomaly.images
    chosen = [choose_evenly(own, most) for own in (real, ~real)]
    side = trained.recipe.resolution
    shown = (np.concatenate([*read_batches(train, side, _BATCH_SIZE, own)]) for own in chosen)
    return fit_kinds(*map(trained.recipe.overview, shown))


def _measure_kinds(
    trained: TrainedNetwork, kinds: PictureKinds, validation: input_pipeline.ImageData
) -> tuple[tuple[float, ...], ...]:
    batches = read_batches(validation, trained.recipe.resolution, _BATCH_SIZE, None)
    shown, real = map(trained.recipe.overview, batches), is_real(validation)
    distances = np.concatenate([kinds.score(batch) for batch in shown], axis=1)
    return tuple(tuple(np.sort(far[own]).tolist()) for far, own in zip(distances, (real, ~real), strict=True))


def _fit_anomalies(trained: TrainedNetwork, train: input_pipeline.ImageData) -> tuple[Anomalies, tuple[str, ...]]:
    real = is_real(train)
    chosen = choose_evenly(real, trained.recipe.anomaly.images)
    names = np.array(train.records.modalities)
    modalities = tuple(sorted(set(names[real].tolist())))
    numbers = np.searchsorted(modalities, names[chosen]).astype(np.int64)
    read = functools.partial(read_batches, train, trained.recipe.resolution, _BATCH_SIZE, chosen)
    return fit_anomalies(trained.describe, trained.recipe.anomaly, read, numbers), modalities


def score_split(
    trained: TrainedNetwork,
    anomalies: Anomalies,
    images: input_pipeline.ImageData,
) -> Scored:
    """All scores of a split, in stored order, without maps but for their highest places.

    Args:
      trained, anomalies: the detector.
      images: of the split.
    """
    side = trained.recipe.resolution
    every = [
        anomalies.score(trained.describe(batch), side, side)
        for batch in read_batches(images, side, _BATCH_SIZE, None)
    ]
    scores = {name: np.concatenate([own.scores[name] for own in every]) for name in every[0].scores}
    tops = np.concatenate([own.maps.max(axis=(1, 2), keepdims=True) for own in every])
    return Scored(scores, np.concatenate([own.pooled for own in every]), tops)


def _fit(
    trained: TrainedNetwork, scored: Scored, validation: input_pipeline.ImageData, modalities: tuple[str, ...]
) -> Calibration:
    labels = binary_labels(validation)
    stacking = fit_stacking(scored.scores, labels, split=_VALIDATION, penalty=_PENALTY)
    fused = stacking.log_odds(scored.scores)
    every = scored.scores | {FUSED: fused}
    reals = is_real(validation)
    return Calibration(
        temperature=fit_logit_temperature(scored.scores[NETWORK], labels, split=_VALIDATION),
        stacking=stacking,
        thresholds={name: fit_thresholds(own, labels, split=_VALIDATION) for name, own in every.items()},
        conformal=fit_conformal(fused, labels, split=_VALIDATION),
        strangeness=tuple(np.sort(scored.scores[LOCATING][reals]).tolist()),
        map_ends=_find_ends(scored.maps[reals]),
        modalities=modalities,
        prevalence=float(labels.mean()),
        form=MixtureForm.from_dict(validation.options['form']),
        checksum=trained.checksum,
        step=trained.position.step,
        depths=tuple(validation.options.get('depths', ())),
    )


def _find_ends(tops: Float[np.ndarray, 'image 1 1']) -> tuple[float, float]:
    low, high = (float(np.quantile(tops, quantile)) for quantile in (0.5, 0.999))
    return low, max(high, low + 1e-6)
