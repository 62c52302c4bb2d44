"""`python -m gan.main --config=configs/gan/X.py --workdir=DIR [--config.field=value]` trains a GAN."""

from configs.gan.schema import GAN
from configs.schema import describe
from foundation.training import launch
from gan.train import train_and_evaluate
from input_pipeline import DataError

if __name__ == '__main__':
    launch.run(
        train_and_evaluate, fields=describe(GAN), packages=('gan', 'input_pipeline'), user_errors=(DataError,)
    )
