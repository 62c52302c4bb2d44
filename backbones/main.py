"""`python -m backbones.main --config=configs/backbones/X.py --workdir=DIR [--config.field=value]` trains one."""

from backbones.train import train_and_evaluate
from configs.backbones.schema import CLASSIFIER
from configs.schema import describe
from foundation.training import launch
from input_pipeline import DataError

if __name__ == '__main__':
    launch.run(
        train_and_evaluate,
        fields=describe(CLASSIFIER),
        packages=('backbones', 'input_pipeline'),
        user_errors=(DataError,),
    )
