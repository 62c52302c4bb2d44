"""The Chromium that tests of pages drive."""

import os
import shutil
from typing import Any

import pytest

_NAMES = ('chromium', 'chromium-browser', 'google-chrome')


def find_chromium(started: Any) -> str | None:
    """That of $CHROMIUM or of the system; None for playwright's own. Skips the test where there is none.

    Args:
      started: playwright.
    """
    found = os.environ.get('CHROMIUM') or next(filter(None, map(shutil.which, _NAMES)), None)
    if not (found or os.path.exists(started.chromium.executable_path)):
        pytest.skip('there is no Chromium; install one, or run playwright install chromium')
    return found
