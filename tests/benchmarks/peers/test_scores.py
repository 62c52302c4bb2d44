"""Other libraries' scores of the same vectors are ours."""

import pytest

pytest.importorskip('torch', reason='peers are tested in their own environment: the extra `peers`')
pytest.importorskip('torch_fidelity', reason='peers are tested in their own environment: the extra `peers`')

from benchmarks.peers import scores

COUNT = 1200


@pytest.fixture(scope='module')
def vectors():
    return scores.draw_vectors(8, COUNT)


def test_frechet_distances_are_equal(vectors):
    assert scores.frechet_of_torch_fidelity(*vectors) == pytest.approx(scores.frechet_of_ours(*vectors), rel=1e-6)


def test_kernel_distances_of_other_subsets_are_near(vectors):
    assert scores.kernel_of_torch_fidelity(*vectors) == pytest.approx(scores.kernel_of_ours(*vectors), rel=0.05)


def test_density_and_coverage_of_prdc_are_ours(vectors):
    ours, theirs = scores.shares_of_ours(*vectors), scores.shares_of_prdc(*vectors)
    for name in ('density', 'coverage'):
        assert theirs[name] == pytest.approx(ours[name], abs=2 / COUNT)


def test_precision_and_recall_of_torch_fidelity_are_ours(vectors):
    ours, theirs = scores.shares_of_ours(*vectors), scores.shares_of_torch_fidelity(*vectors)
    for name in ('precision', 'recall'):
        assert 0 < ours[name] < 1
        assert theirs[name] == pytest.approx(ours[name], abs=2 / COUNT)
