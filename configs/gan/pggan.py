"""PGGAN at 256x256, with the constants of the official implementation (Karras et al. 2018, arXiv:1710.10196).

The defaults of all GANs; `schema.py` explains every field, and other configs change what they name.

    python -m gan.main --config=configs/gan/pggan.py --workdir=runs/pggan --config.data.name=NAME

For one accelerator. A schedule of 7.8 million images; expect days on one GPU, and not to finish on a CPU
(`quickstart.py` does).
"""

from ml_collections import ConfigDict

from configs.gan.schema import GAN
from configs.schema import create


def get_config() -> ConfigDict:
    """PGGAN's config, and the defaults of all others."""
    return create(GAN)
