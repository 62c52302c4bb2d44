"""Classical classifiers on features of a network, against which a detector is compared.

After Solaiyappan and Wen 2022 (arXiv:2109.12800). They live in memory, within an evaluation, and are never stored.
"""

from collections.abc import Callable

import numpy as np
import scipy.special
from jaxtyping import Float, Float64
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from detect.metrics.samples import Labels
from foundation.training.errors import UserError

Features = Float[np.ndarray, 'image feature']
Scorer = Callable[[Features], Float64[np.ndarray, ' image']]
_TREES = 500


def fit_baselines(features: Features, labels: Labels, *, seed: int) -> dict[str, Scorer]:
    """A support vector machine, a random forest and a decision tree: each a function from features to scores.

    Scores are real numbers, the higher, the more like a fake; they are not calibrated. The time of the support
    vector machine grows with the square of the images.

    Args:
      features: of training images.
      labels: 1 = fake.
      seed: of the forest, and of ties in the tree.

    Raises:
      UserError: for features that are not finite, and without real or without fake images.
    """
    if not np.isfinite(features).all():
        raise UserError('Features of training images are not finite: look at the images that they come from.')
    fake = labels.astype(bool)
    if fake.all() or not fake.any():
        raise UserError(
            f'Baselines are trained on real and fake images; {int(fake.sum())} of {len(fake)} are fake: prepare a '
            'training split that has both.'
        )
    return {
        'support_vector_machine': _fit_machine(features, fake),
        'random_forest': _fit_forest(features, fake, seed),
        'decision_tree': _fit_tree(features, fake, seed),
    }


def _fit_machine(features: Features, fake: np.ndarray) -> Scorer:
    """Radial basis functions on standardised features; its score is the signed distance to the margin."""
    return make_pipeline(StandardScaler(), SVC()).fit(features, fake).decision_function


def _fit_forest(features: Features, fake: np.ndarray, seed: int) -> Scorer:
    """Log odds of the mean vote of the trees, smoothed by a vote for either class."""
    forest = RandomForestClassifier(_TREES, random_state=seed).fit(features, fake)
    return lambda given: _smoothed_log_odds(_TREES * forest.predict_proba(given)[:, 1], np.array(_TREES))


def _fit_tree(features: Features, fake: np.ndarray, seed: int) -> Scorer:
    """Log odds of the fakes in a leaf, smoothed by one of either class.

    Unpruned leaves hold one class only, and larger ones are more to be trusted (Provost and Domingos 2003,
    doi:10.1023/A:1024099825458).
    """
    tree = DecisionTreeClassifier(random_state=seed).fit(features, fake)

    def score(given: Features) -> Float64[np.ndarray, ' image']:
        sizes = tree.tree_.n_node_samples[tree.apply(given)].astype(np.float64)
        return _smoothed_log_odds(sizes * tree.predict_proba(given)[:, 1], sizes)

    return score


def _smoothed_log_odds(fakes: np.ndarray, total: np.ndarray) -> Float64[np.ndarray, ' image']:
    return scipy.special.logit((fakes + 1) / (total + 2))
