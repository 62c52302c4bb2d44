"""The gate between drawing and writing: candidates that are too near are withheld and replaced."""

import contextlib
import dataclasses
import logging
import math
from collections.abc import Iterator

import numpy as np
import tqdm
from jaxtyping import Float, Float32, Int, UInt

import input_pipeline
from backbones.extractors import Extractor
from foundation.export.manifest import Release
from foundation.statistics.jackknife import FeatureSample, Missing, count_groups, deal_groups
from foundation.training import parallel
from foundation.training.errors import UserError
from foundation.training.mapping import create_mapper
from gan.generator import TrainedGenerator
from gan.release.decision import Policy, create_release, decide
from gan.release.gate import Tally, find_thresholds
from gan.release.membership import AttackedImages, MembershipAttack, attack
from gan.release.nearest import Distances, NearestImages, reduce
from gan.sampler import Drawn, Sampler, labels_in_turn

VALIDATION, TEST = 'validation', 'test'
_ATTACK_IMAGES = 2_000  # generated, and members
_ATTACK_NUMBERS = 2**30  # from where the attacker's images are numbered; those that are released begin at 0
_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """A split as the gate sees it.

    Attributes:
      images: reduced, in their stored type.
      features: of the extractor.
      owners: the number of each image's patient.
      labels: classes; 0 without.
    """

    images: UInt[np.ndarray, 'count height width channel']
    features: Float32[np.ndarray, 'count feature']
    owners: Int[np.ndarray, 'count']
    labels: Int[np.ndarray, 'count']


class ReleaseGuard:
    """Holds what candidates are compared with, and counts them.

    Reads the run's data set: the training split, `test` as held-out patients, and `validation`, where there is
    one, as the reference of the attack.

    Args:
      trained: the generator.
      extractor: in whose features images are compared.
      policy: of the release.
      seed: of the images that are released.
      batch_size: images at a time.
      truncation: see `sampler.check_truncation`.

    Raises:
      DataError: when the data set or its test split is missing.
      UserError: when the data set is not the one that the generator was trained on.
    """

    def __init__(
        self,
        trained: TrainedGenerator,
        extractor: Extractor,
        policy: Policy,
        *,
        seed: int,
        batch_size: int,
        truncation: float = math.inf,
    ) -> None:
        _check_split(trained.recipe.split)
        extractor.check_channels(trained.image_format.channels)
        extractor.check_network('The gate')
        self._trained, self._seed, self._policy, self._batch_size = trained, seed, policy, batch_size
        self._extractor, self._tally = extractor, Tally()
        mesh, split = parallel.create_mesh(), trained.recipe.split
        self._sampler = Sampler(trained.network, trained.image_format, mesh, batch_size, truncation)
        self._dtype = np.dtype(trained.facts.dtype)
        mapped = create_mapper(extractor.extract, mesh, batch_size)
        self._extract = lambda images: mapped(extractor.variables, images).features.astype(np.float32)
        training, held_out = self._read(split), self._read(TEST)
        self._splits = {split: len(training.owners), TEST: len(held_out.owners)}
        self.nearest = NearestImages(training.images, training.features)
        self.thresholds = find_thresholds(
            self.nearest.measure(held_out.images, held_out.features), held_out.owners, policy.quantile
        )
        self.attacked, self.rows = self._choose_attacked(training, held_out)
        self.owners = training.owners, held_out.owners
        self.attack = (
            MembershipAttack(Missing('needs held-out images of two patients.'), calibrated=False)
            if self.attacked is None
            else attack(*self.attacked)
        )

    def _read(self, split: str) -> Seen:
        recipe = self._trained.recipe
        images = recipe.open_split(split)
        if split == recipe.split and images.fingerprint != self._trained.facts.fingerprint:
            raise UserError(
                f'The data set {images.name!r} is not the one that the generator was trained on; '
                'prepare it as it was, or share without the gate (--release_anyway --nogate).'
            )
        columns = []
        with (
            contextlib.closing(images.in_order(self._trained.network.resolution, self._batch_size)) as batches,
            tqdm.tqdm(total=images.num_examples, unit=' images', desc=f'gate: {split}') as bar,
        ):
            for batch in batches:
                unit = batch['image'][..., : images.channels]
                stored = input_pipeline.from_unit(unit, self._dtype)
                columns.append((reduce(stored), self._extract(unit), batch['patient'], batch['label']))
                bar.update(len(unit))
        return Seen(*(np.concatenate(column) for column in zip(*columns, strict=True)))

    def _choose_attacked(
        self, training: Seen, held_out: Seen
    ) -> tuple[AttackedImages | None, Int[np.ndarray, ' member']]:
        """The images of the attack, None for one held-out patient, and the members' rows in the training split."""
        # Of all patients, as often as they are in training, as the held-out ones are.
        chosen = np.sort(np.random.default_rng(0).permutation(len(training.owners))[:_ATTACK_IMAGES])
        group_count = count_groups(training.owners[chosen], held_out.owners)
        if group_count < 2:
            return None, chosen
        owners = training.owners[chosen]
        members = FeatureSample(training.features[chosen], deal_groups(owners, group_count), group_count)
        others = FeatureSample(held_out.features, deal_groups(held_out.owners, group_count), group_count)
        try:
            reference = self._read(VALIDATION).features
        except input_pipeline.DataError as error:
            _LOGGER.warning('The membership attack is not calibrated: %s', error)
            reference = None
        classes = (training.labels[chosen], held_out.labels)
        return AttackedImages(members, others, classes, self._draw_attacked(), reference), chosen

    def _draw_attacked(self) -> Float32[np.ndarray, 'generated feature']:
        """Features of what the attacker draws."""
        numbers = np.arange(_ATTACK_NUMBERS, _ATTACK_NUMBERS + _ATTACK_IMAGES)
        labels = labels_in_turn(len(numbers), self._trained.image_format.num_classes, None)
        return self.extract(self._draw(numbers, labels))

    def extract(self, drawn: Drawn) -> Float32[np.ndarray, 'batch feature']:
        """Features of drawn images as they would be written.

        Raises:
          UserError: when one is not finite.
        """
        _check_finite(drawn)
        return self._extract(input_pipeline.to_unit(input_pipeline.from_unit(drawn.images, self._dtype)))

    def measure(
        self, images: Float[np.ndarray, 'batch height width channel']
    ) -> tuple[Distances, Float32[np.ndarray, 'batch feature']]:
        """Distances of images in [-1, 1], rounded as they would be written, to the training images; features."""
        stored = input_pipeline.from_unit(np.asarray(images, np.float32), self._dtype)
        features = self._extract(input_pipeline.to_unit(stored))
        return self.nearest.measure(reduce(stored), features), features

    def open_training(self, rows: Int[np.ndarray, ' some']) -> Float[np.ndarray, 'some height width channel']:
        """Some training images at the resolution of the generator, by their rows."""
        images = self._trained.recipe.open_split(self._trained.recipe.split).choosing(rows)
        with contextlib.closing(images.in_order(self._trained.network.resolution, self._batch_size)) as batches:
            return np.concatenate([batch['image'][..., : images.channels] for batch in batches])

    def _draw(self, numbers: Int[np.ndarray, 'batch'], labels: Int[np.ndarray, 'batch']) -> Drawn:
        return self._sampler.draw_numbered(self._trained.weights, self._seed, numbers, labels)

    def draw(self, wanted: Int[np.ndarray, 'count']) -> Iterator[Drawn]:
        """Draws images that pass, one for each label; a withheld one is replaced by another of its class.

        Raises:
          UserError: when an image is not finite, or so many are withheld that the release fails anyway.
        """
        count = len(wanted)
        again, position = wanted[:0], 0  # classes of withheld images, and how many of `wanted` were drawn
        allowed = math.ceil(count / (1 - self._policy.largest_withheld)) + self._batch_size
        while (len(again) or position < count) and self._tally.candidates < allowed:
            fresh = wanted[position : position + self._batch_size - len(again)]
            position += len(fresh)
            labels = np.concatenate([again, fresh])
            numbers = np.arange(self._tally.candidates, self._tally.candidates + len(labels))
            drawn = self._draw(numbers, labels)
            _check_finite(drawn)
            passed = self._tally.add(self.thresholds.too_near(self.measure(drawn.images)[0]))
            again = labels[~passed]
            if passed.any():
                yield drawn.keep(passed)
        if len(again) or position < count:
            raise UserError(
                f'{self._tally.withheld} of {self._tally.candidates} candidates are nearer to a training image '
                'than held-out patients are, so nothing is released; train on more patients, stop earlier, or '
                'allow more with --largest_withheld (--release_anyway does not release what is withheld).'
            )

    def judge(self, *, anyway: bool) -> Release:
        """The verdict on what was drawn, or, before anything is, on the generator and its data.

        Args:
          anyway: whether a release that fails is released all the same.

        Raises:
          UserError: when it fails, and is not.
        """
        passed, reasons = decide(self._tally, self.thresholds, self.attack, self._policy)
        if not passed and not anyway:
            raise UserError(
                f'The release fails: {"; ".join(reasons)}. Nothing was written; train on more patients, take an '
                'earlier checkpoint (--step, --best), or hold out more patients (gan.privacy tells '
                'why). --release_anyway writes the images with this verdict in their manifest.'
            )
        extractor = {'name': self._extractor.name, 'sha256': self._extractor.checksum}
        return create_release(
            passed,
            reasons,
            self._tally,
            self.thresholds,
            self.attack,
            self._policy,
            extractor=extractor,
            splits=self._splits,
            anyway=anyway,
        )


def _check_split(split: str) -> None:
    if split in (VALIDATION, TEST):
        raise UserError(
            f'The run was trained on the split {split!r}, with which the gate judges; nobody is held out. '
            '--release_anyway --nogate releases the images unchecked.'
        )


def _check_finite(drawn: Drawn) -> None:
    if not np.isfinite(drawn.images).all():
        raise UserError('The generator draws images that are not finite; take an earlier checkpoint.')
