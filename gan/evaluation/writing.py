"""Writing an evaluation, so that a folder holds a whole one at any time, the old or the new."""

import contextlib
import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from gan.evaluation.evaluation import Evaluated, Reals
from gan.evaluation.page import PICTURES, write_page

REPORT_FILE = 'report.json'
_LOGGER = logging.getLogger(__name__)


def check_folder(folder: Path) -> None:
    """Raises UserError, before anything is measured, where no evaluation can be written.

    A folder that does not exist must be creatable: the nearest one above it counts.
    """
    existing = next((path for path in (folder, *folder.absolute().parents) if path.exists()), folder)
    if not existing.is_dir():
        raise UserError(f'--out={folder}: {existing} is a file; name a folder.')
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f'--out={folder}: nothing can be written to {existing}; name another folder.')


def write_evaluation(folder: Path, report: Mapping[str, Any], reals: Reals, evaluated: list[Evaluated]) -> None:
    """Writes report.json, the page and its pictures; files of an earlier evaluation are replaced at the end.

    Pictures of it that this one does not have, as of a second run, are removed.
    """
    _LOGGER.info('Writing %s.', folder)
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix='incomplete.', dir=folder) as name:
            partial = Path(name)
            write_page(report, reals, evaluated, partial)
            workdirs.write_json(partial / REPORT_FILE, report)
            written = sorted(path.name for path in partial.iterdir())
            for file in written:
                os.replace(partial / file, folder / file)
        for file in set(PICTURES) - set(written):
            (folder / file).unlink(missing_ok=True)
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
