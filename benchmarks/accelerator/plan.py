"""Which parts a run has, in which order, and how its minutes are shared among them."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from benchmarks.accelerator.tasks import Task

TRAINING_SECONDS = 160.0  # reserved for training, or half of the run where that is shorter


@dataclasses.dataclass(frozen=True)
class Part:
    """A group of tasks.

    Attributes:
      title, explanation: of its section in the tables.
      process: parts in a row with the same name of a process share one; see PROCESSES.
      weight: its share of the minutes that are not reserved, in seconds of a run of eight minutes.
      reserved: it gets TRAINING_SECONDS, and all that is left when it begins.
      create_tasks: `(rehearse) -> tasks` in their order of worth; imports what the part needs.
    """

    title: str
    explanation: str
    process: str
    weight: float
    reserved: bool
    create_tasks: Callable[[bool], Sequence[Task]]


def _machine(rehearse: bool) -> Sequence[Task]:
    from benchmarks.accelerator import machine

    return machine.create_tasks(rehearse)


def _compiling(rehearse: bool) -> Sequence[Task]:
    from benchmarks.accelerator import compiling

    return compiling.create_tasks(rehearse)


def _defaults(rehearse: bool) -> Sequence[Task]:
    from benchmarks.accelerator import compiling

    return compiling.create_small_tasks(rehearse)


def _correct(rehearse: bool) -> Sequence[Task]:
    from benchmarks.accelerator import correct

    return correct.create_tasks(rehearse)


def _resume(rehearse: bool) -> Sequence[Task]:
    from benchmarks.accelerator import resume

    return resume.create_tasks(rehearse)


def _speed(rehearse: bool) -> Sequence[Task]:
    from benchmarks.accelerator import speed

    return speed.create_tasks(rehearse)


def _peers(rehearse: bool) -> Sequence[Task]:
    from benchmarks.accelerator import side_by_side

    return side_by_side.create_tasks(rehearse)


def _train(rehearse: bool) -> Sequence[Task]:
    from benchmarks.accelerator import train

    return train.create_tasks(rehearse)


def _study(rehearse: bool) -> Sequence[Task]:
    from benchmarks.accelerator import study

    return study.create_tasks(rehearse)


_MACHINE = Part(
    'Machine',
    'What the device reaches: the denominators of what follows.',
    'measuring',
    15,
    False,
    _machine,
)
# XLA chooses kernels by its rules instead of timing many of them, which takes long for a run of minutes.
FAST_COMPILING = '--xla_gpu_autotune_level=0 --xla_gpu_experimental_enable_fusion_autotuner=false'
_DETERMINISTIC = '--xla_gpu_deterministic_ops=true'
_DEFAULTS = 'defaults'  # the process that goes without FAST_COMPILING
# What the process of a part finds in its environment, beside what is there. `+` adds to a variable.
PROCESSES: Mapping[str, Mapping[str, str]] = {
    'measuring': {},
    _DEFAULTS: {'JAX_ENABLE_COMPILATION_CACHE': 'false'},
    'deterministic': {'+XLA_FLAGS': _DETERMINISTIC},
    'sharing': {'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'},  # one device with PyTorch, or with other processes
    'training': {},
}


def environment_of(process: str, *, with_gpu: bool) -> dict[str, str]:
    """What a process of PROCESSES finds in its environment, beside what is there. `+` adds to a variable."""
    own = dict(PROCESSES[process])
    if with_gpu and process != _DEFAULTS:
        own['+XLA_FLAGS'] = f'{FAST_COMPILING} {own.get("+XLA_FLAGS", "")}'.strip()
    return own


PROFILES: Mapping[str, Mapping[str, Part]] = {
    'proof': {
        'machine': _MACHINE,
        'compiling': Part(
            'Compiling',
            'Programs of growing size: tracing and lowering in Python, compiling, the first call, later calls. '
            'Kernels: fusions and calls of libraries in the compiled program, bodies of loops once. XLA chooses '
            'kernels by its rules here and in most parts; with its defaults further below.',
            'measuring',
            85,
            False,
            _compiling,
        ),
        'correct': Part(
            'Correct',
            'The device against the CPU from the same state, in float32 at the highest matrix precision unless a '
            'row says otherwise. Differences are relative; a row passes up to its threshold.',
            'measuring',
            60,
            False,
            _correct,
        ),
        'speed': Part(
            'Speed',
            'Whole training steps (discriminator, generator, average) on batches that are on the device, in calls '
            'of many steps as in training. Compile: until the program is ready. FLOPs: as XLA counts them before '
            'optimisation. Share: of the matrix rate measured above in the same type. Roofline: the least time '
            'that matrix rate and bandwidth allow, as a share of the time. MiB: arguments, results, temporaries.',
            'measuring',
            65,
            False,
            _speed,
        ),
        'defaults': Part(
            'Compiling with the defaults of XLA',
            'The same as above in a process whose XLA times kernels and chooses the fastest: what that costs in '
            'compiling, and what it brings in milliseconds a step.',
            _DEFAULTS,
            30,
            False,
            _defaults,
        ),
        'resume': Part(
            'Stopped and resumed',
            'Training stopped half way and gone on from its checkpoint, against training that never stopped, with '
            'deterministic kernels (`--xla_gpu_deterministic_ops`); without them under Correct.',
            'deterministic',
            35,
            False,
            _resume,
        ),
        'peers': Part(
            'Beside PyTorch',
            'The same networks, batch and precision in PyTorch (torch.compile, channels last, autocast, fused '
            'Adam), in turn with ours. Ratio: their time over ours.',
            'sharing',
            30,
            False,
            _peers,
        ),
        'train': Part(
            'Trained for real',
            'Training with a schedule that was made for the time left, and scores against held-out patients. '
            'Floor: what real images of other patients reach.',
            'training',
            0,
            True,
            _train,
        ),
    },
    'study': {
        'machine': _MACHINE,
        'study': Part(
            'Study',
            'PGGAN and Enhanced-GAN with masks, trained equally long, then U-Nets with and without their images.',
            'sharing',
            0,
            True,
            _study,
        ),
    },
}


def limit(parts: Sequence[Part], now: float, end: float, whole: float) -> float:
    """When the first of these parts must have ended, so that the others get their share.

    Args:
      parts: those that are left, the first being the one that begins.
      now, end: of the run, on the same clock in seconds.
      whole: seconds of the whole run.
    """
    reserved = sum(part.reserved for part in parts)
    if parts[0].reserved:
        return now + (end - now) / reserved
    kept = reserved * min(TRAINING_SECONDS, 0.5 * whole)
    weights = sum(part.weight for part in parts if not part.reserved)
    return now + max(end - now - kept, 0.0) * parts[0].weight / weights


def titles() -> dict[str, tuple[str, str]]:
    """A heading and an explanation for each part of all profiles."""
    return {name: (part.title, part.explanation) for parts in PROFILES.values() for name, part in parts.items()}
