"""`python -m detect.main --config=configs/detect/X.py --workdir=DIR [--config.field=value]` trains a detector."""

from detect.training import train_and_evaluate
from input_pipeline import DataError
from training import launch

if __name__ == '__main__':
    launch.run(train_and_evaluate, packages=('backbones', 'detect', 'input_pipeline'), user_errors=(DataError,))
