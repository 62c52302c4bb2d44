"""Training a detector: one phase of the loop, the best by validation; then what its answers mean is fitted."""

import dataclasses
import functools
import logging
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from clu import parameter_overview
from jax.sharding import Mesh
from jaxtyping import Array, PRNGKeyArray
from ml_collections import ConfigDict

import input_pipeline
from backbones.encoders import Encoder, begin_with, find_begun_encoder, write_encoder
from backbones.images import batch_shapes, facts_of, open_feed
from backbones.setup import create_optimizer, steps_in
from backbones.splits import count_labels
from detect import setup
from detect.calibration import calibrate
from detect.data import binary_labels, describe_split, open_images
from detect.metrics.ranking import auroc_of
from detect.stacks import train as stack_training
from detect.step import make_describe, make_train_step
from foundation.training import launch, logs, loop, parallel
from foundation.training import workdir as workdirs
from foundation.training.mapping import create_mapper
from foundation.training.phases import Phase
from foundation.training.state import Variables
from foundation.training.supervised import SupervisedState

_LOGGER = logging.getLogger(__name__)
# Fields that decide the architecture, the data and the position in them; a run cannot go on with others.
FIXED_FIELDS = (
    'adversarial', 'architecture', 'attention_heads', 'augment', 'channels', 'data.labels', 'data.modalities',
    'data.sources', 'degrade', 'inputs', 'network', 'optimizer', 'resolution', 'schedule', 'seed', 'start_from',
)  # fmt: skip
_CURVES = {
    'loss': ('loss', 'log_loss'),
    'accuracy': ('accuracy', 'validation_accuracy'),
    'area under the ROC': ('auroc',),
    'gradient norm': ('gradient_norm',),
    'images a second': ('images_per_second',),
}


def train_and_evaluate(config: ConfigDict, workdir: Path) -> None:
    """Trains the detector of images, or of volumes, that is configured, from where `workdir` stopped.

    Raises:
      UserError, DataError: for a config or data that cannot be used.
    """
    if 'stack' in config:
        stack_training.train_and_evaluate(config, workdir)
        return
    setup.check_config(config)
    mesh, first = parallel.create_mesh(), parallel.is_first_process()
    parallel.check_batch_size(mesh, config.schedule.batch_size, 'config.schedule.batch_size')
    images, validation = (open_images(config, split, train=split == 'train') for split in ('train', 'validation'))
    facts = facts_of(images)
    facts.check_same(workdir)
    encoder = find_begun_encoder(workdir, config.start_from, config.channels)
    steps_in(config, images.num_examples)
    run = _DetectorRun(config, workdir, images, validation, mesh, encoder)
    table = run.tabulate_network()
    workdirs.prepare_workdir(workdir, config, fixed=FIXED_FIELDS, write=first)
    if first:
        facts.write(workdir)
        logs.log_to_file(workdir)
        if encoder is not None:
            write_encoder(workdir, encoder)
    run.log_start(table)
    outcome = run.train()
    if outcome.stopped_by and first:
        print(f'Stopped by {outcome.stopped_by}; all is saved in {workdir}.')
        print('Next: the same command goes on from here.')
    if not outcome.stopped_by:
        logs.draw_curves(workdir, _CURVES, {})
        calibrate(workdir, images, validation)
        _say_goodbye(workdir)


@dataclasses.dataclass(frozen=True)
class _DetectorRun:
    """What all parts of one training share."""

    config: ConfigDict
    workdir: Path
    images: input_pipeline.ImageData
    validation: input_pipeline.ImageData
    mesh: Mesh
    encoder: Encoder | None

    def train(self) -> loop.Outcome:
        """Runs the loop."""
        config = self.config
        _, epoch = steps_in(config, self.images.num_examples)
        return loop.run_phase(
            self._create_phase(),
            self.workdir,
            config,
            self.mesh,
            measure=self._make_measure(),
            score='log_loss',
            every=config.watch.epochs * epoch * config.schedule.batch_size,
            sample=None,
            sample_images=config.run.checkpoint_images,
        )

    def _create_phase(self) -> Phase:
        config, batch_size = self.config, self.config.schedule.batch_size
        steps, _ = steps_in(config, self.images.num_examples)
        step = make_train_step(
            setup.create_network(config, self.encoder),
            create_optimizer(config, steps),
            setup.create_augmentation(config),
            setup.create_degradation(config),
            eps=setup.attack_eps(config),
            attack_steps=config.adversarial.steps,
        )

        def enter(previous: SupervisedState | None, key: PRNGKeyArray) -> SupervisedState:
            return setup.create_state_of(config, self.encoder, steps, key)

        return Phase(
            name='detector',
            start=0,
            end=steps * batch_size,
            batch_size=batch_size,
            enter=enter,
            adopt=lambda previous, entered: self._adopt(entered),
            cycle=(step,),
            controls=lambda images_seen: {'images_seen': images_seen},
            open_feed=functools.partial(
                open_feed, self.images, config.resolution, batch_size, self.mesh, config.data.device_memory_gib
            ),
            batch=batch_shapes(config.resolution, batch_size, config.channels),
        )

    def _adopt(self, state: SupervisedState) -> SupervisedState:
        """Gives the branches of a fresh network the weights they begin with; later they are in the checkpoints."""
        config = self.config
        branches = [f'encoders_{number}' for number in range(len(config.inputs))]
        return begin_with(state, config.start_from, config.channels, branches)

    def _make_measure(self) -> Callable[..., dict[str, float]]:
        """Returns what the watch measures on the validation split: log loss in nats, accuracy and AUROC."""
        config = self.config
        describe = make_describe(setup.create_network(config, self.encoder))

        def logits_of(variables: Variables, images: Array) -> Array:
            return describe(variables, images).logits

        mapped = create_mapper(logits_of, self.mesh, config.schedule.batch_size)
        labels = binary_labels(self.validation)

        def measure(state: SupervisedState, phase: Phase, images_seen: int) -> dict[str, float]:
            if parallel.is_first_process():
                logs.draw_curves(self.workdir, _CURVES, {})
            judge = functools.partial(mapped, state.network.variables)
            logits = describe_split(judge, self.validation, config.resolution, config.schedule.batch_size)
            logits = logits.astype(np.float64)
            return {
                'log_loss': float(np.logaddexp(0, np.where(labels == 1, -logits, logits)).mean()),
                'validation_accuracy': float(((logits > 0) == (labels == 1)).mean()),
                'auroc': auroc_of(logits, labels),
            }

        return measure

    def tabulate_network(self) -> str:
        """All parameters; raises UserError for a network that cannot be made, or too narrow for anomaly scores."""
        config, describe = self.config, make_describe(setup.create_network(self.config, self.encoder))
        create = functools.partial(setup.create_state_of, config, self.encoder, 1)
        state = jax.eval_shape(create, jax.random.key(0))
        images = batch_shapes(config.resolution, 1, config.channels)['image']
        stages = jax.eval_shape(describe, state.network.variables, images).stages
        setup.check_channels(config, sum(stage.shape[-1] for stage in stages))
        return parameter_overview.get_parameter_overview(state.network.params, include_stats=False)

    def log_start(self, table: str) -> None:
        """Says what is trained on what."""
        _LOGGER.info('%s', logs.describe_run(self.mesh.size))
        _LOGGER.info('Config:\n%s', self.config)
        _LOGGER.info('Network:\n%s', table)
        counts = count_labels(self.images)
        told = ', '.join(f'{name} ({count})' for name, count in zip(self.images.classes, counts, strict=True))
        _LOGGER.info('Data: %s, %d images: %s.', self.images.name, self.images.num_examples, told)


def _say_goodbye(workdir: Path) -> None:
    if parallel.is_first_process():
        print(f'Curves: {workdir / "curves.png"}')
        print(f'Next: {launch.python()} -m detect.evaluate --workdir={workdir}')
        print(f'      {launch.python()} -m detect.predict --workdir={workdir} IMAGES...')
