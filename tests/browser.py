"""The Chromium that tests of pages drive."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

_NAMES = ('chromium', 'chromium-browser', 'google-chrome')


@contextlib.contextmanager
def open_chromium() -> Iterator[Any]:
    """Chromium without a screen: that of $CHROMIUM, of the system, or of playwright itself."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        # Tests may run as root in a container, where Chromium has no sandbox.
        opened = started.chromium.launch(executable_path=_find_chromium(started), args=['--no-sandbox'])
        yield opened
        opened.close()


def _find_chromium(started: Any) -> str | None:
    """That of $CHROMIUM or of the system; None for playwright's own. Skips the test where there is none.

    Args:
      started: playwright.
    """
    found = os.environ.get('CHROMIUM') or next(filter(None, map(shutil.which, _NAMES)), None)
    if not (found or os.path.exists(started.chromium.executable_path)):
        pytest.skip('there is no Chromium; install one, or run playwright install chromium')
    return found
