"""A detector of altered volumes, on top of a finished detector of single images.

    python -m detect.main --config=configs/detect/stack.py --workdir=runs/stack --config.data.name=NAME \
        --config.slices_from=runs/small
    python -m detect.predict --workdir=runs/small --stack=runs/stack SERIES...

NAME is a data set that `detect.prepare` made of volumes and their altered copies (see `detect.tamper`), best the
one that the detector of images was trained on. That detector describes the slices and stays as it is; a recurrent
network with attention learns which volumes were altered. Ends with stack.json: how well it and simpler ways of
pooling the slices' odds tell volumes of test patients apart. Some minutes for 400 volumes on two CPU cores, most
of them for describing slices.

`schema.py` explains every field. Where other configs count images, this one counts volumes.
"""

from ml_collections import ConfigDict

from configs.detect.schema import STACK
from configs.schema import create


def get_config() -> ConfigDict:
    """The config."""
    return create(STACK)
