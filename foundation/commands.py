"""One task asks another: its command is started in a process of its own, and they meet through files alone."""

import os
import subprocess
import sys
from collections.abc import Mapping


def ask_command(module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Runs a command of this project; returns '' when it succeeded, else the sentence that it ended with.

    Args:
      module: like detect.predict.
      arguments: flags and paths.
      environment: variables beside those of this process.
    """
    done = subprocess.run(
        [sys.executable, '-m', module, *arguments],
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors='replace',
    )
    if not done.returncode:
        return ''
    return (done.stdout.strip().splitlines() or ['it ended without a word.'])[-1].removeprefix('Error: ')
