"""Training in the process of the tests."""

import logging
from collections.abc import Callable
from pathlib import Path

from ml_collections import ConfigDict


def train_here(train: Callable[[ConfigDict, Path], None], config: ConfigDict, workdir: Path) -> None:
    """Trains in this process, and takes the file of its log from the loggers again."""
    loggers = [logging.getLogger(), logging.getLogger('absl')]
    before = [list(logger.handlers) for logger in loggers]
    try:
        train(config, workdir)
    finally:
        for logger, handlers in zip(loggers, before, strict=True):
            for handler in set(logger.handlers) - set(handlers):
                logger.removeHandler(handler)
                handler.close()
