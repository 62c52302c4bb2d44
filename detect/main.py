"""`python -m detect.main --config=configs/detect/X.py --workdir=DIR [--config.field=value]` trains a detector."""

from pathlib import Path

from ml_collections import ConfigDict

from detect import train
from detect.stacks import train as stack_training
from foundation.training import launch
from input_pipeline import DataError


def train_and_evaluate(config: ConfigDict, workdir: Path) -> None:
    """Trains the detector of images, or of volumes, that is configured."""
    task = stack_training if 'stack' in config else train
    task.train_and_evaluate(config, workdir)


if __name__ == '__main__':
    launch.run(
        train_and_evaluate, fields=(), packages=('backbones', 'detect', 'input_pipeline'), user_errors=(DataError,)
    )
