"""What a detector of `detect.main` says of files, asked by its own command: tasks meet through files alone."""

import collections
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from foundation.commands import ask_command
from foundation.signing.findings import Finding
from foundation.training.errors import UserError

_SYNTHETIC = 'synthetic'
_UNREAD = 'not read'


def ask_detector(detector: Path, files: Sequence[Path], total: int) -> Finding:
    """Whether a detector takes files for synthetic: held where all are, absent where it says anything else.

    Args:
      detector: workdir of `detect.main`.
      files: at least one.
      total: how many there are, these among them.

    Raises:
      UserError: when the detector cannot be used.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, 'answers.jsonl')
        paths = (str(file.absolute()) for file in files)
        reason = ask_command('detect.predict', f'--workdir={detector}', f'--out={out}', *paths)
        lines = out.read_text(encoding='utf-8').splitlines() if out.is_file() else []
    if not lines:  # where some files could not be read, others were answered all the same
        raise UserError(f'the detector {detector} cannot be asked: {reason}')
    return count_verdicts([json.loads(line).get('verdict', _UNREAD) for line in lines], len(files), total)


def count_verdicts(verdicts: Sequence[str], asked: int, total: int) -> Finding:
    """What verdicts on so many of all files say together.

    Args:
      verdicts: of pictures, series and volumes: 'synthetic', 'real', "don't know", 'not read'.
      asked: files that these are on.
      total: files that there are.
    """
    counts = collections.Counter(verdicts)
    told = ', '.join(f'{count:,} {verdict}' for verdict, count in counts.most_common())
    spread = '' if asked == total else f' (of {total:,} files, evenly spread)'
    if counts[_UNREAD]:
        return Finding('unclear', f'{told}{spread}')
    return Finding('held' if counts[_SYNTHETIC] == counts.total() else 'absent', f'{told}{spread}: odds, no proof')
