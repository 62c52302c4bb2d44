"""Our steps and those of PyTorch, in turn on one device; see `benchmarks.peers`."""

import functools
import importlib.util
import statistics
from collections.abc import Iterator, Sequence

import jax

from benchmarks.accelerator.tasks import Context, NotHere, Row, Task

_REPEATS = 10
_CASES = (  # pair, pixels, batch, seconds
    ('dcgan', 64, 128, 15),
    ('unet_training', 256, 8, 25),
    ('enhanced_gan', 64, 32, 45),
    ('enhanced_gan', 256, 8, 60),
    ('unet_prediction', 512, 8, 20),
    ('pggan', 256, 8, 60),
    ('sngan', 64, 64, 40),
)
_TOYS = (('dcgan', 32, 2, 5),)


def create_tasks(rehearse: bool) -> Sequence[Task]:
    """Cheap ones first."""
    return [
        Task(f'{name} {pixels}', seconds, functools.partial(_compare, name, pixels, batch))
        for name, pixels, batch, seconds in (_TOYS if rehearse else _CASES)
    ]


def _compare(name: str, pixels: int, batch: int, context: Context) -> Iterator[Row]:
    if importlib.util.find_spec('torch') is None:
        raise NotHere('PyTorch is not installed')
    from benchmarks.peers.pairs import PAIRS
    from benchmarks.peers.timing import Compared, interleave

    on_gpu = jax.default_backend() == 'gpu'
    dtype = 'bfloat16' if on_gpu else 'float32'
    ours = PAIRS[name].create_ours(pixels, batch, dtype)
    peer = PAIRS[name].create_peer(pixels, batch, dtype, 'cuda' if on_gpu else 'cpu')
    compared = Compared(*interleave(ours, peer, 2 if context.rehearse else _REPEATS))
    row = {'table': 'peers', 'pair': name, 'pixels': pixels, 'batch': batch, 'type': dtype}
    for who, seconds in (('ours', compared.ours), ('PyTorch', compared.peer)):
        row |= {f'{who}, ms': 1e3 * statistics.median(seconds), f'{who}, least': 1e3 * min(seconds)}
    lowest, highest = compared.ratios
    yield row | {'ratio': compared.ratio, 'lowest': lowest, 'highest': highest, 'form of PyTorch': peer.form}
