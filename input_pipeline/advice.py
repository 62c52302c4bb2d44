"""Which command trains on a data set, here: by its size, colour, classes, masks, and by this machine.

Configs and flags are text: packages that read them stand above this one. Tests hold each to its config.
"""

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path

from foundation.training.compute import on_cpu
from foundation.training.speed import describe_time, name_command, name_device, name_step, read_speeds
from input_pipeline.dataset.content import Content

Fields = Mapping[str, object]
_MOST_MASK_CLASSES = 8  # that are drawn with images, a channel for each
_LARGEST = 256
_FEW_IMAGES = {True: 320, False: 12_800}  # of a stage, to measure it on CPUs or on accelerators


@dataclasses.dataclass(frozen=True)
class Training:
    """A config, and the steps that it makes.

    Attributes:
      config: its file, perhaps with a variant.
      steps: of each stage, by batch and side; empty where the data decide.
      usual: what it took elsewhere, in words, for machines where nothing was measured.
    """

    config: str
    steps: Mapping[tuple[int, int], int]
    usual: str

    def describe_time(self, flags: Fields) -> str | None:
        """How long it takes by what was measured on this machine; None where its last stage was not measured."""
        speeds = read_speeds(name_command(self.config, flags))
        known = {step: speeds.get(name_step(*step)) for step in self.steps}
        if not known or list(known.values())[-1] is None:
            return None
        # Earlier stages are small: one that was not measured takes no longer than the last.
        longest = max(seconds for seconds in known.values() if seconds is not None)
        return describe_time(sum(self.steps[step] * (seconds or longest) for step, seconds in known.items()))


QUICKSTART = Training(
    'configs/gan/quickstart.py', {(16, 4): 313, (16, 8): 626, (16, 16): 626, (16, 32): 938}, '3 to 15 minutes'
)
SMALL = Training(
    'configs/gan/small.py',
    {(16, 4): 625, (16, 8): 1_250, (16, 16): 1_250, (16, 32): 1_250, (8, 64): 5_000},
    '45 minutes to 3 hours',
)
_FULL_STEPS = {
    (128, 4): 4_688, (128, 8): 9_376, (128, 16): 9_376, (64, 32): 18_750, (32, 64): 37_500, (16, 128): 75_000,
    (8, 256): 150_000,
}  # fmt: skip
FULL = {
    side: Training(
        'configs/gan/enhanced_gan.py',
        {step: count for step, count in _FULL_STEPS.items() if step[1] <= side},
        usual,
    )
    for side, usual in ((32, 'some hours'), (64, 'hours'), (128, 'hours to days'), (256, 'one day to many'))
}
UNET = {
    True: Training('configs/segment/unet.py:small', {(16, 64): 2_000}, '5 to 30 minutes'),
    False: Training('configs/segment/unet.py', {}, 'hours'),
}
DETECTOR = {
    True: Training('configs/detect/detector.py:small', {}, 'some minutes'),
    False: Training('configs/detect/detector.py', {}, 'an hour or more'),
}
PATCHES = Training('configs/detect/detector.py:patches', {}, 'an hour or more')
_DETECTOR_SIDES = {True: 64, False: 256}  # of these configs, which larger images are halved down to


def advise(name: str, data_dir: Path | None, content: Content) -> str:
    """The commands that train on a data set, each with the time that it takes.

    Args:
      name, data_dir: of the data set; None for the usual folder of all.
      content: what it holds.
    """
    cpu, data = on_cpu(), _name_data(name, data_dir) | _name_phantoms(name, content)
    training = choose_training(content, cpu=cpu)
    flags = choose_flags(content, training)
    lines = ['What to run next:', *_tell(training, 'gan.main', data, f'runs/{name}', flags)]
    side = max(side for _, side in training.steps)
    if content.side > side:
        why = 'what this machine can train in hours' if cpu else 'the largest that was tried'
        lines.append(f'  (images are made {side} x {side}: {why})')
    if training.describe_time(flags) is None:
        images = _FEW_IMAGES[cpu]
        short = {'schedule.fade_images': images, 'schedule.stable_images': images, 'schedule.final_images': 0}
        command = _command('gan.main', training, data, f'runs/{name}_speed', flags | short)
        lines += ['To know how long that takes here, measure its steps in some minutes first:', f'  {command}']
    if training == SMALL:
        look = choose_flags(content, QUICKSTART)
        lines += ['A first look, at 32 x 32:', *_tell(QUICKSTART, 'gan.main', data, f'runs/{name}_look', look)]
    if content.mask_classes:
        lines += ['A network that draws masks on images:']
        lines += _tell(UNET[cpu], 'segment.main', data, f'runs/{name}_unet', {})
    return '\n'.join(lines)


def choose_training(content: Content, *, cpu: bool) -> Training:
    """The config for images of this size: on CPUs one of an hour or so, on accelerators the whole one."""
    if cpu:
        return QUICKSTART if 0 < content.side <= 32 else SMALL
    return FULL[min(max(1 << (content.side - 1).bit_length(), min(FULL)), _LARGEST) if content.side else _LARGEST]


def choose_flags(content: Content, training: Training) -> dict[str, object]:
    """Fields of the config that these data need, by dotted name."""
    side = max(side for _, side in training.steps)
    flags: dict[str, object] = {}
    if training in FULL.values() and side != _LARGEST:
        flags['resolution'] = side
    conditional = len(content.classes) > 1 and not content.unlabelled
    if conditional != (training in (QUICKSTART, SMALL)):  # which are conditional by themselves
        flags['conditional'] = conditional
    if 0 < content.mask_classes <= _MOST_MASK_CLASSES:
        flags['mask_classes'] = content.mask_classes
    return flags


def advise_detector(name: str, data_dir: Path | None, side: int | None) -> str:
    """The command that trains a detector on real and synthetic images; see `advise`.

    Args:
      name, data_dir: of the data set; None for the usual folder of all.
      side: pixels of a side of its images, which none is enlarged beyond; None where each keeps its own.
    """
    cpu, data = on_cpu(), _name_data(name, data_dir)
    if side is None:
        return '\n'.join(['Next:', *_tell(PATCHES, 'detect.main', data, f'runs/{name}', {})])
    trained = side
    while trained > _DETECTOR_SIDES[cpu] and trained % 2 == 0:
        trained //= 2
    flags = {} if trained == _DETECTOR_SIDES[cpu] else {'resolution': trained}
    return '\n'.join(['Next:', *_tell(DETECTOR[cpu], 'detect.main', data, f'runs/{name}', flags)])


def _name_data(name: str, data_dir: Path | None) -> dict[str, object]:
    return {'data.name': name} if data_dir is None else {'data.name': name, 'data.data_dir': data_dir}


def _name_phantoms(name: str, content: Content) -> dict[str, object]:
    """What phantoms were drawn with, which a config that names them must say too."""
    if not name.startswith('phantom'):
        return {}
    drawn = {field: tuple(value) if isinstance(value, list) else value for field, value in content.phantom.items()}
    return {f'data.phantom.{field}': str(value).replace(' ', '') for field, value in drawn.items()}


def _tell(training: Training, module: str, data: Fields, workdir: str, flags: Fields) -> list[str]:
    """A command, and how long it takes."""
    measured = training.describe_time(flags)
    time = f'{measured}, as measured on this machine' if measured else f'{training.usual}, not measured here yet'
    return [f'  {_command(module, training, data, workdir, flags)}', f'  ({name_device()}: {time})']


def _command(module: str, training: Training, data: Fields, workdir: str, flags: Fields) -> str:
    fields = [f'--config.{field}={shlex.quote(str(value))}' for field, value in {**data, **flags}.items()]
    return ' '.join(['python -m', module, f'--config={training.config}', f'--workdir={workdir}', *fields])
