"""A conditional SNGAN for all classes of a set, any size from 32 to 256.

    python -m gan.main --config=configs/gan/conditional.py:projection --workdir=runs/projection ...
    python -m gan.main --config=configs/gan/conditional.py:auxiliary --workdir=runs/auxiliary ...

(with --config.data.name=NAME.) The class gives the gains and biases of the generator's batch normalization. The
discriminator has a projection of the class (Miyato and Koyama 2018, arXiv:1802.05637) or an auxiliary classifier
(Odena et al. 2017, arXiv:1610.09585). Each column of the grid is a class. Classes are recognised as soon as the
samples are recognised at all.
"""

from ml_collections import ConfigDict

from configs.gan import sngan


def get_config(condition: str = 'projection') -> ConfigDict:
    """SNGAN on classes; `condition` is `projection` or `auxiliary`."""
    config = sngan.get_config()
    config.conditional = True
    config.discriminator.condition = condition
    return config
