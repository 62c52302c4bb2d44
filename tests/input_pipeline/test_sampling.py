"""Poisson sampling: every unit by a coin of its own, in every batch anew."""

import dataclasses

import numpy as np
from scipy import stats

from input_pipeline.sampling import PoissonSampling

_UNITS, _ROOM, _BATCHES = 200, 24, 800


def _create(**changes) -> PoissonSampling:
    usual = PoissonSampling(2**63 + 5, np.arange(_UNITS), probability=0.05, batch_size=_ROOM, begin=48)
    return dataclasses.replace(usual, **changes)


def _draw(sampling: PoissonSampling, batches: int = _BATCHES) -> dict[str, np.ndarray]:
    drawn = sampling.select(sampling.begin, batches * sampling.batch_size)
    return {name: rows.reshape(batches, sampling.batch_size, *rows.shape[1:]) for name, rows in drawn.items()}


def _memberships(drawn: dict[str, np.ndarray], size: int = _UNITS) -> np.ndarray:
    """How often each example is in each batch."""
    counts = np.zeros((len(drawn['index']), size), int)
    rows, _ = np.nonzero(drawn['valid'])
    np.add.at(counts, (rows, drawn['index'][drawn['valid']]), 1)
    return counts


def test_each_unit_is_in_a_batch_with_the_probability_of_its_coin_and_whatever_was_before():
    member = _memberships(_draw(_create()))
    assert member.max() == 1
    # No number of all is further off than one in a million would be by chance.
    low, high = stats.binom.interval(1 - 1e-6 / _UNITS, _BATCHES, 0.05)
    assert (low <= member.sum(0)).all()
    assert (member.sum(0) <= high).all()
    again, pairs = (member[1:] * member[:-1]).sum(), member[1:].size
    assert abs(again - pairs * 0.05**2) < 5 * np.sqrt(pairs * 0.05**2)
    # Coins of two units are independent, too: batch sizes vary as a binomial does, but for those that do not fit.
    sizes = member.sum(1)
    spread = _UNITS * 0.05 * 0.95
    assert abs(sizes.var() - spread) < 5 * spread * np.sqrt(2 / _BATCHES)


def test_what_lies_at_a_position_depends_on_it_and_the_secret_alone():
    sampling = _create()
    whole = sampling.select(48, 40 * _ROOM)
    for position, count in [(48, 1), (60, 30), (48 + 7 * _ROOM - 1, 2), (48 + 5 * _ROOM, _ROOM)]:
        part = sampling.select(position, count)
        for name, rows in part.items():
            np.testing.assert_array_equal(rows, whole[name][position - 48 : position - 48 + count])
    other = _create(secret=5).select(48, 40 * _ROOM)
    assert (other['index'] != whole['index']).mean() > 0.3
    assert (other['noise_key'] != whole['noise_key']).all(axis=1).all()


def test_a_batch_that_does_not_fit_is_empty_and_all_others_are_as_they_would_be():
    """So whether a unit is in a batch never depends on who else was drawn, unless nobody is in it."""
    wide, narrow = _draw(_create(batch_size=100)), _draw(_create(batch_size=10))
    # Positions, and with them coins, differ where batches are longer: compare numbers of rows, not rows.
    fitting, sizes = stats.binom.cdf(10, _UNITS, 0.05), narrow['valid'].sum(1)
    assert abs((sizes > 0).mean() - fitting) < 5 * np.sqrt(fitting * (1 - fitting) / _BATCHES)
    assert wide['valid'].sum(1).max() > 10
    beginning = _create(begin=0, batch_size=100), _create(begin=0, batch_size=4)
    both = [sampling.select(0, sampling.batch_size) for sampling in beginning]
    assert both[0]['valid'].sum() > 4
    assert not both[1]['valid'].any()


def test_a_patient_gives_one_image_at_a_time_each_as_often():
    patients = np.array([0, 1, 1, 1, 2, 2, 0, 3])
    sampling = _create(units=patients, probability=0.5, batch_size=4)
    member = _memberships(_draw(sampling), len(patients))
    by_patient = np.stack([member[:, patients == number].sum(1) for number in range(4)])
    assert by_patient.max() == 1
    np.testing.assert_allclose(by_patient.mean(1), 0.5, atol=0.06)
    np.testing.assert_allclose(member[:, patients == 1].mean(0), 0.5 / 3, atol=0.05)


def test_every_batch_has_a_key_of_its_own_in_all_its_rows():
    keys = _draw(_create())['noise_key']
    assert (keys == keys[:, :1]).all()
    assert len(np.unique(keys[:, 0], axis=0)) == _BATCHES
