"""All scores of an image: the network's logit, and how strange its features are to those of real images."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from backbones.networks import Features
from detect.anomaly.fitted import Fitted
from detect.anomaly.gaussian import Mahalanobis, Padim, fit_mahalanobis, fit_padim
from detect.anomaly.patchcore import Patchcore, fit_patchcore
from detect.networks import Detection
from detect.recipe import AnomalyRecipe
from detect.trained_network import Images
from foundation.training.errors import UserError

ANOMALIES_FILE = 'anomalies.npz'
NETWORK, FUSED = 'network', 'fused'  # names of scores, beside those of KINDS
LOCATING = 'patchcore'  # the one whose map and p value are shown
KINDS: dict[str, type[Fitted]] = {'mahalanobis': Mahalanobis, 'padim': Padim, 'patchcore': Patchcore}
_CANDIDATES = 10  # patches to choose from, for each that PatchCore keeps
_LARGEST = 2**32  # bytes of the file


@dataclasses.dataclass(frozen=True)
class Scored:
    """What is said of images.

    Attributes:
      scores: by name, the higher, the more like a fake or the stranger; `network` is the logit.
      pooled: features that classical baselines learn from.
      maps: where PatchCore finds an image strange, in distances of features.
      weights: of the patches of each image; of no patch where it was seen as a whole.
    """

    scores: dict[str, Float[np.ndarray, ' image']]
    pooled: Float[np.ndarray, 'image feature']
    maps: Float[np.ndarray, 'image height width']
    weights: Float[np.ndarray, 'image patch'] | None = None


@dataclasses.dataclass(frozen=True)
class Anomalies:
    """Scores that were fitted on real training images alone.

    Attributes:
      mahalanobis: of pooled features, to the nearest modality.
      padim, patchcore: of the maps behind the first one.
    """

    mahalanobis: Mahalanobis
    padim: Padim
    patchcore: Patchcore

    def score(self, detection: Detection, height: int, width: int) -> Scored:
        """All scores of what a detector's network said of images of this size, its logit among them."""
        scored = self.score_features(detection, height, width)
        logits = np.asarray(detection.logits, np.float64)
        return dataclasses.replace(
            scored, scores={NETWORK: logits} | scored.scores, weights=np.asarray(detection.weights)
        )

    def score_features(self, described: Detection | Features, height: int, width: int) -> Scored:
        """How strange the features of images of this size are."""
        stages = tuple(map(jnp.asarray, described.stages))
        padim, patchcore = (fitted.score(stages, height, width) for fitted in (self.padim, self.patchcore))
        scores = {
            'mahalanobis': self.mahalanobis.score(np.asarray(described.pooled)),
            'padim': np.asarray(padim.scores, np.float64),
            'patchcore': np.asarray(patchcore.scores, np.float64),
        }
        return Scored(scores, np.asarray(described.pooled), np.asarray(patchcore.maps))

    def save(self, path: Path) -> None:
        """Writes one file of arrays."""
        arrays = {
            f'{kind}.{name}': array for kind in KINDS for name, array in getattr(self, kind).to_arrays().items()
        }
        temporary = path.with_suffix('.tmp.npz')
        np.savez(temporary, allow_pickle=False, **arrays)
        temporary.replace(path)


def read_anomalies(workdir: Path) -> Anomalies:
    """What `Anomalies.save` wrote.

    Raises:
      UserError: when it is missing or damaged.
    """
    path = workdir / ANOMALIES_FILE
    if not path.is_file() or path.stat().st_size > _LARGEST:
        raise UserError(f'{workdir} holds no finished detector; run its training command to the end.')
    try:
        with path.open('rb') as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # zipfile, zlib and numpy share no base class
        raise UserError(f'{path} is damaged ({error}); run the training command again.') from error
    parts: dict[str, Any] = {
        kind: fitted.from_arrays({
            name.partition('.')[2]: array for name, array in arrays.items() if name.startswith(f'{kind}.')
        })
        for kind, fitted in KINDS.items()
    }  # fmt: skip
    return Anomalies(**parts)


def fit_anomalies(
    describe: Callable[[Images], Detection | Features],
    wanted: AnomalyRecipe,
    read: Callable[[], Iterator[Images]],
    modalities: Int[np.ndarray, ' image'],
) -> Anomalies:
    """Fits all on real training images, in two passes.

    Args:
      describe: whose features they are.
      wanted: how scores are fitted.
      read: gives batches of real images, the same each time.
      modalities: the number of each one's modality.

    Raises:
      UserError: when there are too few images.
    """
    pooled: list[np.ndarray] = []

    def stages(keep: list[np.ndarray]) -> Iterator[Sequence[Any]]:
        for batch in read():
            described = describe(batch)
            keep.append(np.asarray(described.pooled))
            yield tuple(map(jnp.asarray, described.stages))

    padim = fit_padim(stages(pooled), channels=wanted.padim_features, seed=wanted.seed)
    candidates = _CANDIDATES * wanted.coreset
    patchcore = fit_patchcore(
        stages([]), candidates=candidates, ratio=1 / _CANDIDATES, most=wanted.coreset, seed=wanted.seed
    )
    return Anomalies(fit_mahalanobis(np.concatenate(pooled), modalities), padim, patchcore)
