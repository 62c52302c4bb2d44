"""Training a detector of altered volumes on what a finished detector of images says of their slices."""

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

import input_pipeline
from backbones.images import facts_of
from detect.detector import TrainedDetector
from detect.metrics.calibration import log_loss
from detect.metrics.ranking import auroc_of
from detect.stacks.data import Stacks, describe_stacks, list_volumes, open_slices, read_slice_detector
from detect.stacks.detector import SLICES_FILE, STACK_FILE, SliceFacts, TrainedStack, read_slice_facts
from detect.stacks.evaluation import describe, measure
from detect.stacks.recipe import StackRecipe
from detect.stacks.step import make_describe, make_train_step
from foundation.training import launch, parallel
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from foundation.training.feed import Batches, device_feed, place_on_devices
from foundation.training.fit import Validation, create_phase, fit, keep_state
from foundation.training.mapping import create_mapper
from foundation.training.phases import Phase
from foundation.training.state import Variables
from foundation.training.workdir import RunRecord
from input_pipeline.order import shuffled_indices

_LOGGER = logging.getLogger(__name__)
_SPLITS = ('train', 'validation', 'test')
_CURVES = {
    'loss': ('loss', 'log_loss'),
    'area under the ROC': ('auroc',),
    'gradient norm': ('gradient_norm',),
}


def train_stack(recipe: StackRecipe, workdir: Path, record: RunRecord) -> None:
    """Trains from where `workdir` stopped; then measures the best checkpoint on test patients.

    Args:
      recipe: of the run.
      workdir: its folder.
      record: what the folder keeps of its config.

    Raises:
      UserError, DataError: for a detector of slices or data that cannot be used.
    """
    mesh = parallel.create_mesh()
    parallel.check_batch_size(mesh, recipe.schedule.batch_size, 'config.schedule.batch_size')
    detector = read_slice_detector(Path(recipe.slices_from))
    splits = _open_splits(recipe, detector)
    _check_same(workdir, detector, splits['train'])
    described = functools.partial(describe_stacks, detector, wanted=recipe.slices)
    stacks, validation = described(splits['train']), described(splits['validation'])
    slices = SliceFacts(detector.checksum, stacks.features.shape[-1])
    fit(
        _create_phase(recipe, stacks, mesh),
        workdir,
        mesh,
        recipe.pace,
        record=record,
        files={
            **facts_of(splits['train']).files(recipe.data.data_dir),
            SLICES_FILE: dataclasses.asdict(slices),
        },
        told=[f'Data: {recipe.data.name}, {len(stacks.labels)} volumes, {stacks.labels.sum()} altered.'],
        details=[],
        validation=Validation(
            measure=_make_measure(recipe, validation, mesh),
            score='log_loss',
            every=recipe.schedule.images_between_looks(len(stacks.labels)),
            curves=_CURVES,
        ),
        sample=None,
        finish=lambda: _finish(recipe, workdir, validation, described(splits['test'])),
    )


def _open_splits(recipe: StackRecipe, detector: TrainedDetector) -> dict[str, input_pipeline.ImageData]:
    """All splits; what a later one lacks is told before anything is computed."""
    splits = {name: open_slices(recipe.data, detector, name) for name in _SPLITS}
    for images in splits.values():
        list_volumes(images)
    known = detector.facts
    if splits['train'].fingerprint != known.fingerprint:
        _LOGGER.warning(
            'The detector of slices was trained on other data (%s), which must hold no patient of these data but '
            'those of the training split.',
            known.name,
        )
    return splits


def _check_same(workdir: Path, detector: TrainedDetector, images: input_pipeline.ImageData) -> None:
    """Raises UserError when the run in the workdir was begun on other data, or on what another detector says."""
    facts_of(images).check_same(workdir)
    begun = (workdir / SLICES_FILE).is_file()
    if begun and read_slice_facts(workdir).checksum != detector.checksum:
        raise UserError(
            f'{workdir} holds a run on slices as another detector describes them; use its config.slices_from, or '
            'another --workdir.'
        )


def _create_phase(recipe: StackRecipe, stacks: Stacks, mesh: Mesh) -> Phase:
    batch_size, steps = recipe.schedule.batch_size, recipe.schedule.steps(len(stacks.labels))
    arrays = {'features': stacks.features, 'valid': stacks.valid, 'label': stacks.labels}

    def select(position: int, count: int) -> dict[str, np.ndarray]:
        return {'index': shuffled_indices(recipe.pace.seed, position, count, len(stacks.labels))}

    def open_feed(position: int, sizes: Iterator[int]) -> Iterator[Batches]:
        placed = place_on_devices(arrays, mesh)
        return device_feed(placed, select, dict, mesh, position=position, batch_size=batch_size, sizes=sizes)

    return create_phase(
        'stack',
        steps=steps,
        batch_size=batch_size,
        step=make_train_step(recipe.network, recipe.optimizer.create(steps)),
        create_state=functools.partial(recipe.create_state, stacks.features.shape[-1], steps),
        adopt=keep_state,
        open_feed=open_feed,
        batch={
            name: jax.ShapeDtypeStruct((batch_size, *array.shape[1:]), array.dtype)
            for name, array in arrays.items()
        },
    )


def _make_measure(recipe: StackRecipe, stacks: Stacks, mesh: Mesh) -> Callable[[Variables], dict[str, float]]:
    """Returns what is measured of the validation split: log loss in nats, and AUROC."""
    mapped = create_mapper(make_describe(recipe.network), mesh, recipe.schedule.batch_size)

    def measure_volumes(variables: Variables) -> dict[str, float]:
        logits, _ = mapped(variables, stacks.features, stacks.valid)
        logits = np.asarray(logits, np.float64)
        return {'log_loss': log_loss(logits, stacks.labels), 'auroc': auroc_of(logits, stacks.labels)}

    return measure_volumes


def _finish(recipe: StackRecipe, workdir: Path, validation: Stacks, test: Stacks) -> None:
    """Measures, tells, and keeps it."""
    trained = TrainedStack.load(workdir, batch_size=recipe.schedule.batch_size)
    report = measure(trained, validation, test, seed=recipe.pace.seed)
    if parallel.is_first_process():
        workdirs.write_json(workdir / STACK_FILE, report)
        print(describe(report))
        print(f'All scores: {workdir / STACK_FILE}')
        print(
            f'Next: {launch.python()} -m detect.predict --workdir={recipe.slices_from} --stack={workdir} SERIES...'
        )
