"""`python -m segment.main --config=configs/segment/X.py --workdir=DIR [--config.field=value]` trains a U-Net."""

from configs.schema import describe
from configs.segment.schema import UNET
from foundation.training import launch
from input_pipeline import DataError
from segment.train import train_and_evaluate

if __name__ == '__main__':
    launch.run(
        train_and_evaluate,
        fields=describe(UNET),
        packages=('backbones', 'input_pipeline', 'segment'),
        user_errors=(DataError,),
    )
