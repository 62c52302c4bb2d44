"""Running commands of the project in processes of their own, as users do."""

import atexit
import functools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# A few seconds of training: 4x4 and 8x8, 8 steps stable at each, 16 steps of fading in between.
SMALL = (
    '--config=configs/gan/tiny.py',
    '--config.resolution=8',
    '--config.data.phantom.size=8',
    '--config.generator.attention_resolution=0',
    '--config.discriminator.attention_resolution=0',
    '--config.schedule.stable_images=64',
    '--config.schedule.fade_images=128',
    '--config.watch.images=0',
    '--config.run.log_images=8',
    '--config.run.sample_images=1000',
    '--config.run.checkpoints_to_keep=100',
)
_COMPILE_FAST = '--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true'


class Commands:
    """Commands that share prepared data and compiled programs.

    Args:
      folder: where both are kept.
    """

    def __init__(self, folder: Path):
        self._environment = {
            **os.environ,
            'TFDS_DATA_DIR': str(folder / 'data'),
            'XDG_CACHE_HOME': str(folder / 'cache'),
            'PYTHONPATH': str(ROOT),
            'JAX_PLATFORMS': 'cpu',
            'PYTHONUNBUFFERED': '',  # as in a user's shell
        }

    def start(self, module: str, *arguments: str, devices: int = 1, forked: bool = True) -> subprocess.Popen:
        """Starts `python -m module arguments`, its output and errors in one pipe.

        Args:
          module: of the command.
          arguments: its flags.
          devices: CPUs that JAX has.
          forked: whether it finds the libraries imported (`tests/fork_server.py`); then SIGKILL reaches it late.
        """
        flags = f'--xla_force_host_platform_device_count={devices} {_COMPILE_FAST}'
        environment = self._environment | {'XLA_FLAGS': flags}
        program = ['-m', module, *arguments]
        if forked and hasattr(os, 'pidfd_open'):  # Linux
            request = {'module': module, 'arguments': arguments, 'environment': environment, 'cwd': str(ROOT)}
            program = ['-I', '-S', str(ROOT / 'tests' / 'launch.py'), _serve_forks(), json.dumps(request)]
        process = subprocess.Popen(
            [sys.executable, *program],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        process.args = [sys.executable, '-m', module, *arguments]  # however it was started
        return process

    def run(self, module: str, *arguments: str, **options) -> subprocess.CompletedProcess:
        """Runs it to its end."""
        return finish(self.start(module, *arguments, **options))

    def train(self, workdir: Path, *flags: str, **options) -> subprocess.CompletedProcess:
        """Runs `gan.main` on the small config."""
        return self.run('gan.main', *SMALL, f'--workdir={workdir}', *flags, **options)


@functools.cache
def _serve_forks() -> str:
    """The socket of a server that ends with this process."""
    path = str(Path(tempfile.mkdtemp(prefix='enhanced-gan-forks-'), 'socket'))
    environment = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': str(ROOT), 'PYTHONUNBUFFERED': ''}
    command = [sys.executable, '-m', 'tests.fork_server', path]
    pipe = subprocess.PIPE  # what commands write to as well: it cannot seek
    server = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT
    )
    atexit.register(server.communicate)  # closes what it waits for
    while not os.path.exists(path):
        assert server.poll() is None, server.communicate()
        time.sleep(0.05)
    return path


def finish(process: subprocess.Popen) -> subprocess.CompletedProcess:
    """Waits for a process and returns its code and output."""
    try:
        output, _ = process.communicate(timeout=300)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, output)


def read_files(folder: Path) -> dict[str, bytes]:
    """The bytes of all files in a folder, by their names."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def free_port() -> int:
    """A port of this machine that nobody uses."""
    with socket.socket() as listener:
        listener.bind(('localhost', 0))
        return listener.getsockname()[1]
