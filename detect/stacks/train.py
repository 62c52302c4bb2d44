"""Training a detector of altered volumes on what a finished detector of images says of their slices."""

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray
from ml_collections import ConfigDict

import input_pipeline
from backbones.images import facts_of
from backbones.setup import create_optimizer, steps_in
from detect.metrics.ranking import auroc_of
from detect.stacks import setup
from detect.stacks.data import (
    SliceDetector,
    Stacks,
    describe_stacks,
    list_volumes,
    open_slices,
    read_slice_detector,
)
from detect.stacks.detector import (
    SLICES_FILE,
    STACK_FILE,
    SliceFacts,
    make_describe,
    read_slice_facts,
    restore_stack,
)
from detect.stacks.evaluation import describe, measure
from foundation.training import launch, logs, loop, parallel
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from foundation.training.feed import Batches, device_feed, place_on_devices
from foundation.training.mapping import create_mapper
from foundation.training.phases import Phase
from foundation.training.supervised import SupervisedState
from input_pipeline.stream import shuffled_indices

_LOGGER = logging.getLogger(__name__)
_SPLITS = ('train', 'validation', 'test')
# Fields that decide the architecture, the data and the position in them; a run cannot go on with others.
FIXED_FIELDS = ('data.modalities', 'data.sources', 'optimizer', 'schedule', 'seed', 'stack')
_CURVES = {
    'loss': ('loss', 'log_loss'),
    'area under the ROC': ('auroc',),
    'gradient norm': ('gradient_norm',),
}


def train_and_evaluate(config: ConfigDict, workdir: Path) -> None:
    """Trains as configured, from where `workdir` stopped; then measures the best checkpoint on test patients.

    Raises:
      UserError, DataError: for a config, a detector of slices or data that cannot be used.
    """
    setup.check_config(config)
    mesh, first = parallel.create_mesh(), parallel.is_first_process()
    parallel.check_batch_size(mesh, config.schedule.batch_size, 'config.schedule.batch_size')
    detector = read_slice_detector(Path(config.slices_from))
    splits = _open_splits(config, detector)
    _check_same(workdir, detector, splits['train'])
    described = functools.partial(describe_stacks, detector, wanted=config.stack.slices)
    stacks, validation = described(splits['train']), described(splits['validation'])
    steps_in(config, len(stacks.labels))
    workdirs.prepare_workdir(workdir, config, fixed=FIXED_FIELDS, write=first)
    if first:
        facts_of(splits['train']).write(workdir)
        slices = SliceFacts(detector.trained.checksum, stacks.features.shape[-1])
        workdirs.write_json(workdir / SLICES_FILE, dataclasses.asdict(slices))
        logs.log_to_file(workdir)
    _LOGGER.info('%s', logs.describe_run(mesh.size))
    _LOGGER.info('Data: %s, %d volumes, %d altered.', config.data.name, len(stacks.labels), stacks.labels.sum())
    outcome = _StackRun(config, workdir, stacks, validation, mesh).train()
    if outcome.stopped_by and first:
        print(f'Stopped by {outcome.stopped_by}; all is saved in {workdir}.')
        print('Next: the same command goes on from here.')
    if not outcome.stopped_by:
        _finish(config, workdir, validation, described(splits['test']))


def _open_splits(config: ConfigDict, detector: SliceDetector) -> dict[str, input_pipeline.ImageData]:
    """All splits; what a later one lacks is told before anything is computed."""
    splits = {name: open_slices(config, detector, name) for name in _SPLITS}
    for images in splits.values():
        list_volumes(images)
    known = detector.trained.facts
    if splits['train'].fingerprint != known.fingerprint:
        _LOGGER.warning(
            'The detector of slices was trained on other data (%s), which must hold no patient of these data but '
            'those of the training split.',
            known.name,
        )
    return splits


def _check_same(workdir: Path, detector: SliceDetector, images: input_pipeline.ImageData) -> None:
    """Raises UserError when the run in the workdir was begun on other data, or on what another detector says."""
    facts_of(images).check_same(workdir)
    begun = (workdir / SLICES_FILE).is_file()
    if begun and read_slice_facts(workdir).checksum != detector.trained.checksum:
        raise UserError(
            f'{workdir} holds a run on slices as another detector describes them; use its config.slices_from, or '
            'another --workdir.'
        )


def _finish(config: ConfigDict, workdir: Path, validation: Stacks, test: Stacks) -> None:
    """Measures, tells, and keeps it."""
    logs.draw_curves(workdir, _CURVES, {})
    report = measure(
        restore_stack(workdir, batch_size=config.schedule.batch_size), validation, test, seed=config.seed
    )
    if parallel.is_first_process():
        workdirs.write_json(workdir / STACK_FILE, report)
        print(describe(report))
        print(f'All scores: {workdir / STACK_FILE}')
        print(
            f'Next: {launch.python()} -m detect.predict --workdir={config.slices_from} --stack={workdir} SERIES...'
        )


@dataclasses.dataclass(frozen=True)
class _StackRun:
    """What all parts of one training share."""

    config: ConfigDict
    workdir: Path
    stacks: Stacks
    validation: Stacks
    mesh: Mesh

    def train(self) -> loop.Outcome:
        """Runs the loop."""
        config = self.config
        _, epoch = steps_in(config, len(self.stacks.labels))
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
        config, stacks, batch_size = self.config, self.stacks, self.config.schedule.batch_size
        steps, _ = steps_in(config, len(stacks.labels))
        step = setup.make_train_step(setup.create_network(config), create_optimizer(config, steps))
        arrays = {'features': stacks.features, 'valid': stacks.valid, 'label': stacks.labels}

        def enter(previous: SupervisedState | None, key: PRNGKeyArray) -> SupervisedState:
            return setup.create_state_of(config, stacks.features.shape[-1], steps, key)

        def select(position: int, count: int) -> dict[str, np.ndarray]:
            return {'index': shuffled_indices(config.seed, position, count, len(stacks.labels))}

        def open_feed(position: int, sizes: Iterator[int]) -> Iterator[Batches]:
            placed = place_on_devices(arrays, self.mesh)
            return device_feed(
                placed, select, dict, self.mesh, position=position, batch_size=batch_size, sizes=sizes
            )

        return Phase(
            name='stack',
            start=0,
            end=steps * batch_size,
            batch_size=batch_size,
            enter=enter,
            adopt=lambda previous, entered: entered,
            cycle=(step,),
            controls=lambda images_seen: {'images_seen': images_seen},
            open_feed=open_feed,
            batch={
                name: jax.ShapeDtypeStruct((batch_size, *array.shape[1:]), array.dtype)
                for name, array in arrays.items()
            },
        )

    def _make_measure(self) -> Callable[..., dict[str, float]]:
        """Returns what the watch measures on the validation split: log loss in nats, and AUROC."""
        stacks, config = self.validation, self.config
        mapped = create_mapper(make_describe(setup.create_network(config)), self.mesh, config.schedule.batch_size)

        def measure_state(state: SupervisedState, phase: Phase, images_seen: int) -> dict[str, float]:
            logits, _ = mapped(state.network.variables, stacks.features, stacks.valid)
            logits = np.asarray(logits, np.float64)
            losses = np.logaddexp(0, np.where(stacks.labels == 1, -logits, logits))
            return {'log_loss': float(losses.mean()), 'auroc': auroc_of(logits, stacks.labels)}

        return measure_state
