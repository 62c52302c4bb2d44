"""What a run leaves to look at: log.txt, metrics.jsonl, TensorBoard events, curves, a bar, and what goes there."""

import collections
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tensorboardX
import tqdm
from absl import logging as absl_logging

from foundation.files import write_file
from foundation.report.figures import create_figure, write_figure
from foundation.training.errors import UserError

LOG_FILE = 'log.txt'
METRICS_FILE = 'metrics.jsonl'
DAMAGED_FILE = 'metrics_damaged.jsonl'
_LOGGER = logging.getLogger(__name__)
_FEW_POINTS = 40
_CALLS_IN_FLIGHT = 2  # enough to keep the device busy without queueing batches without end


class MetricsLog:
    """metrics.jsonl and TensorBoard events of one workdir; does nothing on other processes than the first.

    Args:
      workdir: where to write.
      enabled: False on all processes but one.
      last_step: lines and events after this step are dropped: training goes on from there.
    """

    def __init__(self, workdir: Path, *, enabled: bool, last_step: int):
        self._file = self._writer = None
        if enabled:
            path = workdir / METRICS_FILE
            _truncate(path, last_step)
            self._file = path.open('a', buffering=1)
            self._writer = tensorboardX.SummaryWriter(
                str(workdir / 'tensorboard'), purge_step=last_step + 1 if last_step else None
            )

    def scalars(self, step: int, values: Mapping[str, float | int | str]) -> None:
        """Writes one line, and each number as a TensorBoard scalar."""
        if self._file is None or self._writer is None:
            return
        self._file.write(json.dumps({'step': step, **values}) + '\n')
        for name, value in values.items():
            if not isinstance(value, str):
                self._writer.add_scalar(name, value, step)

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Writes a (height, width, channels) uint8 picture to TensorBoard."""
        if self._writer is not None:
            self._writer.add_image(name, image, step, dataformats='HWC')

    def close(self) -> None:
        """Closes the files."""
        if self._file is not None and self._writer is not None:
            self._file.close()
            self._writer.close()


def _truncate(path: Path, last_step: int) -> None:
    """Drops lines beyond `last_step` and a last line that was cut off, atomically, and sets damaged ones aside."""
    if not path.exists():
        return
    *texts, _ = path.read_bytes().split(b'\n')
    lines = [(text, _parse(text)) for text in texts]
    damaged = [text for text, line in lines if line is None]
    if damaged:
        aside = path.with_name(DAMAGED_FILE)
        with aside.open('ab') as file:
            file.writelines(text + b'\n' for text in damaged)
        _LOGGER.warning('%s had %d damaged lines, which are in %s now.', path, len(damaged), aside.name)
    write_file(path, b''.join(text + b'\n' for text, line in lines if line and line['step'] <= last_step))


def read_metrics(workdir: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; none before training has begun.

    A last line without its end is still being written, and left out.

    Raises:
      UserError: when a line is damaged.
    """
    path = workdir / METRICS_FILE
    if not path.is_file():
        return []
    *texts, _ = path.read_bytes().split(b'\n')
    lines = []
    for number, text in enumerate(texts, start=1):
        line = _parse(text)
        if line is None:
            raise UserError(
                f'{path}, line {number} is damaged; remove the line, or start the training command again, which '
                f'sets it aside in {DAMAGED_FILE}.'
            )
        lines.append(line)
    return lines


def _parse(text: bytes) -> dict[str, Any] | None:
    """A line of metrics, or None where it is damaged."""
    try:
        line = json.loads(text.decode())
        sound = type(line['step']) is int and all(map(_is_sound, line, line.values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return line if sound else None


def _is_sound(name: str, value: Any) -> bool:
    """Whether a metric has a value of its kind."""
    return isinstance(value, {'phase': str, 'images_seen': int}.get(name, int | float))


class _AroundBars(logging.StreamHandler):
    """Writes lines above a progress bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one record to standard error."""
        tqdm.tqdm.write(self.format(record), file=sys.stderr)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a record is none of the checkpoint library's own.

    Those are tracebacks of its threads, whose errors are raised to us too, and warnings that a folder which was
    opened for reading is read only.
    """
    if record.getMessage().startswith('Given directory is read only'):
        return False
    return record.name != 'asyncio' and not (record.exc_info and '/orbax/' in record.pathname)


def log_to_screen(packages: Sequence[str]) -> None:
    """Shows what these packages tell, and others' warnings; their details are for `log_to_file` alone."""
    handler = _AroundBars()
    handler.setLevel(logging.INFO)
    handler.setFormatter(logging.Formatter('%(message)s'))
    handler.addFilter(_is_news)
    logging.raiseExceptions = False  # a log that cannot be written, as on a full disk, is no reason to tell more
    root = logging.getLogger()
    for former in root.handlers:
        if isinstance(former, logging.FileHandler):  # of an earlier run in this process
            former.close()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    absl_logging.set_verbosity(absl_logging.WARNING)
    for package in packages:
        logging.getLogger(package).setLevel(logging.DEBUG)


def silence() -> None:
    """Shows warnings only, on all processes but the first."""
    logging.disable(logging.INFO)


def log_to_file(workdir: Path) -> None:
    """Sends the log to workdir/log.txt as well, with its details."""
    handler = logging.FileHandler(workdir / LOG_FILE)
    handler.addFilter(_is_news)
    handler.setFormatter(logging.Formatter('%(asctime)s %(levelname)s %(message)s'))
    logging.getLogger().addHandler(handler)


def describe_run(mesh_size: int) -> str:
    """Devices and versions, and the git revision where there is one."""
    device = jax.devices()[0]
    return (
        f'{mesh_size} x {device.device_kind} ({device.platform}), {jax.process_count()} process(es), '
        f'JAX {jax.__version__}, revision {_revision()}'
    )


def _revision() -> str:
    command = ['git', 'describe', '--always', '--dirty']
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    except OSError:  # a machine without git
        return 'unknown'
    return done.stdout.strip() or 'unknown'


def progress_bar(total: int, initial: int, *, enabled: bool) -> tqdm.tqdm:
    """A bar counting images; what it says of the time left is told to it."""
    return tqdm.tqdm(
        total=total,
        initial=initial,
        unit=' images',
        unit_scale=True,
        disable=not enabled,
        dynamic_ncols=True,
        mininterval=0.5 if sys.stderr.isatty() else 10.0,
        bar_format='{l_bar}{bar}| {n_fmt}/{total_fmt} images [{elapsed}{postfix}]',
    )


def draw_curves(workdir: Path, panels: Mapping[str, Sequence[str]], marks: Mapping[str, int]) -> Path:
    """Draws metrics against images seen into workdir/curves.png.

    Args:
      workdir: the run.
      panels: title to the names of the metrics in one panel.
      marks: labels of vertical lines to the images seen there.
    """
    path = workdir / 'curves.png'
    try:
        lines = [line for line in read_metrics(workdir) if 'images_seen' in line]
    except UserError as error:  # damaged while training goes on, which is no reason to stop
        _LOGGER.warning('No curves: %s', error)
        return path
    figure = create_figure(1000, 260 * len(panels))
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    # Fixed margins: a computed layout costs more than all the drawing.
    figure.subplots_adjust(left=0.07, right=0.98, top=0.97, bottom=0.05, hspace=0.2)
    for axis, (title, names) in zip(axes, panels.items(), strict=True):
        for name in names:
            known = [(line['images_seen'], line[name]) for line in lines if name in line]
            if known:
                marker = '.' if len(known) < _FEW_POINTS else ''  # a line through one point would not be seen
                axis.plot(*zip(*known, strict=True), label=name.replace('_', ' '), linewidth=1, marker=marker)
        axis.set_title(title, loc='left', fontsize=10)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, loc='upper right') if axis.lines else None
        for label, position in marks.items():
            axis.axvline(position, color='grey', linewidth=0.8, linestyle=':')
            axis.annotate(label, (position, 1), xycoords=('data', 'axes fraction'), fontsize=7, va='top')
    axes[-1].set_xlabel('images seen')
    write_figure(figure, path)
    return path


class Stopwatch:
    """Seconds by activity, and in all."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = collections.defaultdict(float)
        self._started = time.perf_counter()

    def timed(self, activity: str, function: Callable, *arguments):
        """Calls `function` and adds its time to `activity`."""
        start = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            self.seconds[activity] += time.perf_counter() - start

    def totals(self) -> dict[str, float]:
        """Seconds by activity, and as `total` since the stopwatch was made."""
        return {**self.seconds, 'total': time.perf_counter() - self._started}


class Meter:
    """Gathers the metrics of all steps between two lines of the log.

    Args:
      images_seen: at the start.
      unlogged: metrics since the last line, of a run that goes on.
    """

    def __init__(self, images_seen: int, unlogged: Mapping[str, list[float]]):
        self._pending: collections.deque[dict[str, jax.Array]] = collections.deque()
        self._unlogged: list[dict[str, np.ndarray]] = []
        if unlogged:  # in the types of the device, in which means are taken
            kinds = {name: np.int32 if name.startswith('skipped') else np.float32 for name in unlogged}
            self._unlogged = [{name: np.asarray(values, kinds[name]) for name, values in unlogged.items()}]
        self._last = (time.perf_counter(), images_seen)

    def add(self, metrics: dict[str, jax.Array]) -> None:
        """Takes one call's metrics, (steps,) each; waits only when too many calls are under way."""
        self._pending.append(metrics)
        while len(self._pending) > _CALLS_IN_FLIGHT:
            self._unlogged.append(jax.device_get(self._pending.popleft()))

    def flush(self) -> None:
        """Waits for the device, so that what follows is not timed as training, nor training as what follows."""
        while self._pending:
            self._unlogged.append(jax.device_get(self._pending.popleft()))

    def unlogged(self) -> dict[str, list[float]]:
        """Metrics of all steps since the last line."""
        self.flush()
        return {name: values.tolist() for name, values in _join(self._unlogged).items()}

    def averages(self, images_seen: int) -> dict[str, float]:
        """Means since the last time, `images_per_second` among them; empty where nothing came."""
        self.flush()
        if not self._unlogged:
            return {}
        values, self._unlogged = _join(self._unlogged), []
        # Skipped steps have no loss; JSON has no NaN.
        finite = {name: value[np.isfinite(value)] for name, value in values.items()}
        averages = {name: float(np.mean(value)) for name, value in finite.items() if value.size}
        averages |= {name: int(value.max()) for name, value in values.items() if name.startswith('skipped')}
        now = time.perf_counter()
        (then, images_then), self._last = self._last, (now, images_seen)
        return {'images_per_second': (images_seen - images_then) / (now - then), **averages}


def _join(metrics: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The values of all calls, by name."""
    names = {name: None for each in metrics for name in each}
    return {name: np.concatenate([each[name] for each in metrics if name in each]) for name in names}
