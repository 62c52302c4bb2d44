"""Codes of real images: what is written of them, and the figures that sum them up."""

import csv
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics.cluster import contingency_matrix

from gan.codes import CodedImages, anomaly_scores, purity, summarize, write_codes
from gan.embedding import draw_embedding, project_to_plane
from gan.families import FAMILIES
from gan.networks.heads import judge
from gan.recipe import ImageFormat
from tests.gan.families import small


def test_purity_is_that_of_the_contingency_table():
    generator = np.random.default_rng(0)
    found, labels = generator.integers(0, 5, 200), generator.integers(0, 3, 200)
    expected = contingency_matrix(found, labels).max(axis=1).sum() / 200
    assert purity(found, labels) == pytest.approx(expected)
    assert purity(np.asarray([3, 3, 0]), np.asarray([1, 1, 2])) == 1
    assert purity(np.asarray([0, 0, 0, 1]), np.asarray([0, 1, 1, -1])) == pytest.approx(2 / 3)
    assert np.isnan(purity(np.asarray([0, 1]), np.asarray([-1, -1])))


@pytest.mark.slow
def test_the_anomaly_score_is_zenatis():
    _, step, state = small.start(small.small_config('bigan'))
    variables = {name: network.variables for name, network in state.networks.items()}
    images = small.create_batch()['image']
    coded = FAMILIES['bigan'].encode(step.networks, variables, images)
    labels = jnp.zeros((len(images),), jnp.int32)
    codes = step.networks['encoder'].apply(variables['encoder'], images)
    drawn = step.generator.apply(variables['generator'], codes, labels)
    discriminator = step.networks['discriminator'], variables['discriminator']
    features = [np.asarray(judge(*discriminator, seen, codes, labels)[1]) for seen in (images, drawn)]
    pixels = np.abs(np.asarray(images) - np.asarray(drawn)).sum(axis=(1, 2, 3))
    expected = 0.9 * pixels + 0.1 * np.abs(features[0] - features[1]).sum(axis=1)
    np.testing.assert_allclose(
        anomaly_scores({name: np.asarray(value) for name, value in coded._asdict().items()}, 0.9),
        expected,
        rtol=1e-5,
    )
    assert features[0].shape == (4, 8)


@pytest.mark.parametrize('architecture', [name for name, family in FAMILIES.items() if family.encode])
def test_what_is_found_in_an_image_does_not_depend_on_the_others(architecture):
    config = small.small_config(architecture)
    if 'batch_norm' in config.discriminator:
        config.discriminator.batch_norm = False
    _, step, state = small.start(config)
    variables = {name: network.variables for name, network in state.networks.items()}
    encode = jax.jit(lambda images: FAMILIES[architecture].encode(step.networks, variables, images))
    images = small.create_batch()['image']
    for one, other in zip(jax.tree.leaves(encode(images)), jax.tree.leaves(encode(images[::-1])), strict=True):
        np.testing.assert_allclose(one, other[::-1], rtol=1e-4, atol=1e-5)


def _coded(labels, classes, **coded):
    images = np.zeros((len(labels), 4, 4, 1), np.float32)
    keys = tuple(f'image {number}' for number in range(len(labels)))
    return CodedImages(keys, np.asarray(labels, np.int32), classes, coded, images, images, ImageFormat(1, 0, 0))


def test_known_classes_have_an_error_and_found_ones_a_purity():
    probabilities = np.asarray([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]])
    images = _coded([0, 1, 0, -1], ('a', 'b'), class_probabilities=probabilities, pixel_distances=np.full(4, 8.0))
    told = summarize(images, ('a', 'b'))
    assert told == {'images': 4, 'mean absolute error': 0.5, 'class error': pytest.approx(1 / 3)}
    assert summarize(images, ())['purity'] == pytest.approx(2 / 3)
    assert summarize(images, ('b', 'a')).keys() == {'images', 'mean absolute error'}


def test_the_files_hold_a_row_for_each_image(tmp_path):
    images = _coded([1, -1], ('a', 'b'), codes=np.asarray([[1.0, 2.0], [3.0, 4.5]]))
    write_codes(tmp_path / 'out', images, np.asarray([0.25, 0.5]), {'images': 2.0})
    with (tmp_path / 'out' / 'codes.csv').open() as file:
        rows = list(csv.reader(file))
    assert rows == [
        ['key', 'label', 'code_0', 'code_1', 'anomaly_score'],
        ['image 0', 'b', '1', '2', '0.25'],
        ['image 1', '', '3', '4.5', '0.5'],
    ]
    with np.load(tmp_path / 'out' / 'codes.npz', allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays['codes'], images.coded['codes'])
        assert arrays['keys'].tolist() == ['image 0', 'image 1']
    for name in ('reconstructions', 'embedding'):
        assert (tmp_path / 'out' / f'{name}.png').is_file()


def test_codes_are_compared_with_their_prior_where_they_have_one():
    codes = np.random.default_rng(0).normal(size=(300, 2))
    images = dataclasses.replace(_coded([0] * 300, ('a',), codes=codes), prior='normal')
    told = summarize(images, ())
    low, high = told['of the prior to itself, least'], told['of the prior to itself, most']
    assert low < told['MMD^2 of codes to the prior'] < 2 * high
    assert summarize(dataclasses.replace(images, prior=''), ()).keys() == {'images'}


def test_codes_lie_along_their_principal_axes():
    generator = np.random.default_rng(0)
    wanted = np.stack([5 * generator.normal(size=40), generator.normal(size=40)], axis=1)
    turned = wanted @ np.linalg.qr(generator.normal(size=(6, 6)))[0][:2]
    places, axes = project_to_plane(turned)
    distances = [np.linalg.norm(each[:, None] - each, axis=2) for each in (places, wanted)]
    np.testing.assert_allclose(*distances, atol=1e-9)
    assert places.std(axis=0)[0] > 3 * places.std(axis=0)[1]
    assert axes[0].startswith('principal axis 1 (9')
    plain, names = project_to_plane(wanted)
    np.testing.assert_array_equal(plain, wanted)
    assert names == ('first number of the code', 'second number of the code')
    assert project_to_plane(wanted[:, :1])[0].shape == (40, 2)


def test_classes_are_told_by_colours():
    figure = draw_embedding(np.random.default_rng(0).normal(size=(6, 3)), np.asarray([0, 1, -1] * 2), ('a', '$b'))
    told = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert told == ['no class', ' a', ' $b']
