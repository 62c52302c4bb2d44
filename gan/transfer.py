"""Starting from another run's networks: layers of the same name and shape are copied, the rest is reported."""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import PyTree

from backbones.images import DataFacts, read_facts
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from foundation.training.state import NetworkState
from gan.generator import restore_state
from gan.optimizers import Side
from gan.recipe import StartFrom
from gan.state import GanState, create_state
from gan.weights import is_exported, read_description, read_variables

_LOGGER = logging.getLogger(__name__)


def check_source(source: StartFrom, workdir: Path) -> None:
    """Raises UserError when a run that has not begun is to start from itself, or from what is no run."""
    if workdirs.has_begun(workdir) or not source.workdir:
        return
    if Path(source.workdir).resolve() == workdir.resolve():
        raise UserError('config.start_from.workdir is the --workdir itself; a run goes on without it.')
    if is_exported(Path(source.workdir)):
        if source.discriminator:
            raise UserError(
                f'config.start_from.workdir is {source.workdir}, an exported generator, which has no '
                'discriminator; set config.start_from.discriminator to False.'
            )
        return
    if not (Path(source.workdir) / 'checkpoints').is_dir():
        raise UserError(
            f'config.start_from.workdir is {source.workdir}, which holds no checkpoints; '
            'name the --workdir of a run, or an exported generator.'
        )


def check_source_data(source: StartFrom, facts: DataFacts) -> None:
    """Raises UserError when a private run would start from networks that know the same images already."""
    if not source.workdir:
        return
    folder = Path(source.workdir)
    seen = read_description(folder).facts if is_exported(folder) else read_facts(folder)
    if seen.fingerprint == facts.fingerprint:
        raise UserError(
            f'config.start_from.workdir is {folder}, which was trained on the same images ({facts.name}), so that '
            'config.privacy could promise nothing; start from a run on others, as on phantoms.'
        )


def adopt_from(
    start_from: StartFrom, sides: Mapping[str, Side], previous: GanState | None, entered: GanState
) -> GanState:
    """`entered`, with the layers that are new to it taken from another run's newest checkpoint, or from
    an exported generator.

    Networks with a running mean are copied from that, the others as they are. Layers that the run had grown before
    (`previous`) stay.

    Args:
      start_from: the other run, and which sides of it are copied.
      sides: of the networks, by name; see `Family`.
      previous, entered: the states before and in this phase.

    Raises:
      UserError: see `generator.restore_state` and `weights.read_variables`.
    """
    if not start_from.workdir:
        return entered
    source = _read_source(Path(start_from.workdir))
    for name in entered.networks:
        if not getattr(start_from, sides[name]):
            continue
        if name in source.networks:
            entered = _adopt_network(name, source, previous, entered)
        else:
            _LOGGER.info('Transfer: the other run has no %s; it is drawn afresh.', name)
    return entered


def _read_source(workdir: Path) -> GanState:
    """The state of a run; of an exported generator that of its network alone, trained and averaged the same."""
    if not is_exported(workdir):
        return restore_state(workdir).state
    variables = dict(read_variables(workdir, read_description(workdir)))
    network = NetworkState(params=variables.pop('params'), model_state=variables, opt_state=())
    return create_state({'generator': network}, averaged=('generator',), augmentation_probability=0.0)


def _adopt_network(name: str, source: GanState, previous: GanState | None, entered: GanState) -> GanState:
    network, averages = source.networks[name], dict(entered.averages)
    if name in averages and name in source.averages:
        averaged = source.averaged(name)
        network = dataclasses.replace(
            network,
            params=averaged['params'],
            model_state={collection: averaged[collection] for collection in network.model_state},
        )
        known = {} if previous is None else previous.averages[name]
        average, _ = copy_matching(source.averages[name], averages[name], known)
        # A copy: the state is donated, and one buffer cannot be donated twice.
        averages[name] = jax.tree.map(jnp.copy, average)
    before = None if previous is None else previous.networks[name]
    copied = _copy_network(name, network, before, entered.networks[name])
    return dataclasses.replace(entered, networks={**entered.networks, name: copied}, averages=averages)


def _copy_network(
    name: str, source: NetworkState, previous: NetworkState | None, entered: NetworkState
) -> NetworkState:
    known = NetworkState({}, {}, ()) if previous is None else previous
    params, missing = copy_matching(source.params, entered.params, known.params)
    model_state, _ = copy_matching(source.model_state, entered.model_state, known.model_state)
    new = len(jax.tree.leaves(entered.params)) - len(jax.tree.leaves(known.params))
    _LOGGER.info('Transfer: %d of %d new arrays of the %s copied.', new - len(missing), new, name)
    if missing:
        _LOGGER.info('Drawn afresh, as the other run has none of that name and shape: %s.', ', '.join(missing))
    return dataclasses.replace(entered, params=params, model_state=model_state)


def copy_matching(source: PyTree, target: PyTree, known: PyTree) -> tuple[PyTree, list[str]]:
    """`target` with every leaf of the same path and shape taken from `source`, but for paths that `known` has.

    Returns:
      The tree, and the paths of leaves that are neither known nor found.
    """
    found, leaves, known = (traverse_util.flatten_dict(tree) for tree in (source, target, known))
    missing = []
    for path, leaf in leaves.items():
        if path in known:
            continue
        if path in found and found[path].shape == leaf.shape:
            leaves[path] = found[path]
        else:
            missing.append('/'.join(path))
    return traverse_util.unflatten_dict(leaves), missing
