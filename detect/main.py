"""`python -m detect.main --config=configs/detect/X.py --workdir=DIR [--config.field=value]` trains a detector."""

from configs.detect.schema import DETECTOR, STACK
from configs.schema import describe
from detect.train import train_and_evaluate
from foundation.training import launch
from input_pipeline import DataError

if __name__ == '__main__':
    launch.run(
        train_and_evaluate,
        fields={'detector.py': describe(DETECTOR), 'stack.py': describe(STACK)},
        packages=('backbones', 'detect', 'input_pipeline'),
        user_errors=(DataError,),
    )
