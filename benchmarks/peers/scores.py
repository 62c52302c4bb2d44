"""Scores of generated images, on the same feature vectors: ours, torch-fidelity's and prdc's.

All of them work on CPUs; `form` changes nothing. Our precision, recall, density and coverage come with the 21
values that an interval is made of, the others without.
"""

import contextlib
import io

import numpy as np
import torch
from jaxtyping import Float32

from benchmarks.peers.forms import Form
from benchmarks.peers.timing import PeerRun
from foundation.statistics.jackknife import LARGEST_GROUP_COUNT, Estimate, FeatureSample, Spread
from gan.scores.gaussian import frechet_distance
from gan.scores.kernel import kernel_score_of_subsets
from gan.scores.neighbours import COVERAGE_NEIGHBOURS, PRECISION_NEIGHBOURS, precision_recall_density_coverage

Vectors = Float32[np.ndarray, 'count feature']
_FORM = 'NumPy'


def draw_vectors(features: int, count: int) -> tuple[Vectors, Vectors]:
    """Generated and reference vectors of two distributions that overlap."""
    generator = np.random.default_rng(0)
    generated, reference = generator.standard_normal((2, count, features), np.float32)
    return generated * 1.1 + 0.1, reference


def frechet_of_ours(generated: Vectors, reference: Vectors) -> float:
    """Frechet distance."""
    return frechet_distance(generated, reference)


def frechet_of_torch_fidelity(generated: Vectors, reference: Vectors) -> float:
    """Frechet distance by torch-fidelity, of vectors in float64 as ours are."""
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

    sets = [fid_features_to_statistics(torch.from_numpy(each).double()) for each in (generated, reference)]
    return fid_statistics_to_metric(*sets, verbose=False)[KEY_METRIC_FID]


def kernel_of_ours(generated: Vectors, reference: Vectors) -> float:
    """Mean kernel distance over 100 subsets of 1000."""
    score = kernel_score_of_subsets(generated, reference, seed=0)
    assert isinstance(score, Spread), score
    return score.mean


def kernel_of_torch_fidelity(generated: Vectors, reference: Vectors) -> float:
    """The same by torch-fidelity."""
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    sets = [torch.from_numpy(each) for each in (generated, reference)]
    return kid_features_to_metric(*sets, verbose=False)[KEY_METRIC_KID_MEAN]


def shares_of_ours(generated: Vectors, reference: Vectors) -> dict[str, float]:
    """Precision, recall, density and coverage."""
    groups = np.arange(len(generated)) % LARGEST_GROUP_COUNT
    samples = (FeatureSample(each, groups, LARGEST_GROUP_COUNT) for each in (generated, reference))
    values = {}
    for name, score in precision_recall_density_coverage(*samples).items():
        assert isinstance(score, Estimate), score
        values[name] = score.value
    return values


def shares_of_prdc(generated: Vectors, reference: Vectors) -> dict[str, float]:
    """The four by prdc; its precision and recall have as many neighbours as density and coverage."""
    from prdc import compute_prdc

    with contextlib.redirect_stdout(io.StringIO()):
        return compute_prdc(reference, generated, COVERAGE_NEIGHBOURS)


def shares_of_torch_fidelity(generated: Vectors, reference: Vectors) -> dict[str, float]:
    """Precision and recall by torch-fidelity, which has no density and coverage."""
    from torch_fidelity.metric_prc import prc_features_to_metric

    sets = [torch.from_numpy(each) for each in (generated, reference)]
    return prc_features_to_metric(*sets, prc_neighborhood=PRECISION_NEIGHBOURS, verbose=False)


_SCORES = {
    'frechet': (frechet_of_ours, frechet_of_torch_fidelity),
    'kernel': (kernel_of_ours, kernel_of_torch_fidelity),
    'shares_prdc': (shares_of_ours, shares_of_prdc),
    'shares_torch_fidelity': (shares_of_ours, shares_of_torch_fidelity),
}


def create_ours(name: str, features: int, count: int, dtype: str) -> PeerRun:
    """Our score of so many vectors of this length, generated and reference."""
    vectors = draw_vectors(features, count)
    return PeerRun(lambda: _discard(_SCORES[name][0](*vectors)), _FORM, 0)


def create_peer(name: str, features: int, count: int, form: Form) -> PeerRun:
    """The other one."""
    vectors = draw_vectors(features, count)
    return PeerRun(lambda: _discard(_SCORES[name][1](*vectors)), _FORM, 0)


def _discard(_: object) -> None:
    """Results are on the host already."""
