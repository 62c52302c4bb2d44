"""The README's first command: Enhanced-GAN grows to 32x32 on phantoms, in five minutes on two CPU cores.

    scripts/quickstart

or, where the project is installed, python -m gan.main --config=configs/gan/quickstart.py --workdir=runs/quickstart

Expect to recognise head MR, chest and abdominal CT, and chest X-ray in the last grid, one modality in each pair of columns; not more.
"""

from ml_collections import ConfigDict

from configs.gan import small


def get_config() -> ConfigDict:
    """The small config on few, small images."""
    config = small.get_config()
    config.resolution = 32
    return config
