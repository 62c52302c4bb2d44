"""`python -m backbones.main --config=configs/backbones/X.py --workdir=DIR [--config.field=value]` trains one."""

from pathlib import Path

from ml_collections import ConfigDict

from backbones.contrastive.train import train_contrastive
from backbones.train import train_and_evaluate
from configs.backbones.schema import CLASSIFIER, SELF_SUPERVISED
from configs.schema import describe
from foundation.training import launch
from input_pipeline import DataError


def train(config: ConfigDict, workdir: Path) -> None:
    """Trains a classifier, or an encoder without labels where the config tells how views differ."""
    (train_contrastive if 'views' in config else train_and_evaluate)(config, workdir)


if __name__ == '__main__':
    launch.run(
        train,
        fields={'classifier.py': describe(CLASSIFIER), 'self_supervised.py': describe(SELF_SUPERVISED)},
        packages=('backbones', 'input_pipeline'),
        user_errors=(DataError,),
    )
