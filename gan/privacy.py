"""`python -m gan.privacy --workdir=DIR --out=DIR2` explains what the release gate can tell of a generator.

Asks the gate's questions without writing an image, then how far its answers carry: which altered copies of
training images it would have caught, and how much of the membership attack is a difference between the splits.
privacy.html is for people, privacy.json has the numbers. A control explains a failure, and makes none a pass.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import flags

import input_pipeline
from foundation.export.manifest import Release
from foundation.training import launch
from foundation.training.errors import UserError
from foundation.training.workdir import write_json
from gan.generation.folder import check_out
from gan.generator import TrainedGenerator, check_checkpoint
from gan.release import policy_flags
from gan.release.control import attack_unseen, control_members
from gan.release.findings import PAGE_FILE, Findings, describe, write_page
from gan.release.guard import ReleaseGuard
from gan.release.membership import MembershipAttack, attack
from gan.release.power import find_copies, plant_copies
from gan.sampler import draw_images, labels_in_turn
from gan.weights import check_apart

_OUT = flags.DEFINE_string('out', None, 'New folder for privacy.html and privacy.json.', required=True)
_NUM = flags.DEFINE_integer('num', 500, 'Images that are drawn and asked for; none is written.', 1, 100_000)
_SEED = flags.DEFINE_integer('seed', 0, 'Same seed, same images.', 0)
_BATCH = flags.DEFINE_integer('batch_size', 64, 'Images drawn at once; rounding may depend on it.', 1, 65_536)
_STEP = flags.DEFINE_integer('step', None, 'Checkpoint to use; the newest by default.')
_BEST = flags.DEFINE_bool('best', False, 'Use the checkpoint with the shortest distance to real images.')
_CONTROL = flags.DEFINE_string(
    'control', '', 'Workdir of a generator of equal images that never saw these patients; attacked beside.'
)
flags.adopt_module_key_flags(launch)
flags.adopt_module_key_flags(policy_flags)


def main(argv: Sequence[str]) -> None:
    """Restores the averaged weights, measures and writes the page."""
    launch.reject_arguments(argv)
    workdir, out = launch.workdir(), Path(_OUT.value)
    launch.start_jax_alone('gan.privacy')
    check_checkpoint(_STEP.value, best=_BEST.value)
    check_apart(workdir, out)
    check_out(out)
    trained = TrainedGenerator.load(workdir, _STEP.value, best=_BEST.value)
    control = _open_control(trained)
    extractor, policy = policy_flags.open_extractor(), policy_flags.read_policy()
    guard = ReleaseGuard(trained, extractor, policy, seed=_SEED.value, batch_size=_BATCH.value)
    with input_pipeline.complete_folder(out.absolute(), overwrite=False) as folder:
        findings = _measure(guard, trained, control)
        write_json(folder / 'privacy.json', findings.to_json())
        write_page(findings, folder)
    for line in describe(findings):
        print(line)
    print(f'Page: {out / PAGE_FILE}   numbers: {out / "privacy.json"}')


def _measure(guard: ReleaseGuard, trained: TrainedGenerator, control: TrainedGenerator | None) -> Findings:
    """Asks all questions."""
    images, members = guard.attacked, guard.owners[0][guard.rows]
    return Findings(
        workdir=str(launch.workdir()),
        step=trained.position.step,
        policy=policy_flags.read_policy(),
        release=_judge(guard, trained),
        attack=guard.attack,
        in_blocks=None if images is None else control_members(images, members, in_blocks=True),
        by_chance=None if images is None else control_members(images, members, in_blocks=False),
        unseen=None if images is None else attack_unseen(images),
        other=None if control is None else _attack_other(guard, control),
        held_out=len(np.unique(guard.owners[1])),
        copies=find_copies(guard),
        planted=plant_copies(guard, policy_flags.read_policy().largest_area),
    )


def _judge(guard: ReleaseGuard, trained: TrainedGenerator) -> Release:
    """What gan.generate would have said."""
    labels = labels_in_turn(_NUM.value, trained.image_format.num_classes, None)
    try:
        for _ in guard.draw(labels):
            pass
    except UserError:
        if guard.judge(anyway=True).verdict == 'pass':  # it was for another reason than the gate's
            raise
    return guard.judge(anyway=True)


def _open_control(trained: TrainedGenerator) -> TrainedGenerator | None:
    if not _CONTROL.value:
        return None
    control = TrainedGenerator.load(Path(_CONTROL.value), None, best=False)
    own, others = ((each.facts.fingerprint, each.recipe.split) for each in (trained, control))
    if own == others:
        raise UserError(
            f'--control={_CONTROL.value} was trained on the same images; name a run that never saw these patients.'
        )
    sides = [(each.network.resolution, each.image_format.channels) for each in (trained, control)]
    if sides[0] != sides[1]:
        raise UserError(f'--control={_CONTROL.value} draws images of another size or number of channels.')
    return control


def _attack_other(guard: ReleaseGuard, control: TrainedGenerator) -> MembershipAttack:
    """The attack on the other generator, of as many images."""
    if guard.attacked is None:
        return guard.attack
    labels = labels_in_turn(len(guard.attacked.generated), control.image_format.num_classes, None)
    drawn = draw_images(control, labels, seed=_SEED.value, batch_size=_BATCH.value, truncation=math.inf)
    features = np.concatenate([guard.extract(batch) for batch in drawn])
    return attack(*guard.attacked._replace(generated=features))


if __name__ == '__main__':
    launch.run_command(main, packages=('gan', 'backbones'), user_errors=(input_pipeline.DataError,))
