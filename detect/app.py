"""`python -m detect.app --workdir=DIR` serves a page to this machine's browsers: are images synthetic?

Files are dropped on it, judged one after the other, and not kept. The page asks for nothing from elsewhere, and
other machines reach it only where --host says so. Ctrl-C stops it.
"""

from collections.abc import Sequence
from types import ModuleType

from absl import flags

import input_pipeline
from detect.judge import open_judge
from foundation.serving.extra import needing_app
from foundation.training import compute, launch
from input_pipeline.records import PIXEL_LIMIT, reader_options

_HOST = flags.DEFINE_string('host', '127.0.0.1', 'Address to listen at; others let other machines in.')
_PORT = flags.DEFINE_integer('port', 8765, 'Port to listen at; 0 takes any that is free.', 0, 65535)
_MAX_MEGABYTES = flags.DEFINE_integer('max_megabytes', 512, 'Larger uploads are refused.', 1)
_ERROR_LEVEL = flags.DEFINE_float(
    'error_level', 0.05, 'Share of real images that may be called synthetic, and of synthetic ones called real.'
)
_AXIS = flags.DEFINE_integer('axis', 2, 'Volumes are cut along it, as for input_pipeline.prepare.', 0, 2)
_PIXEL_LIMIT = flags.DEFINE_integer(
    'pixel_limit',
    PIXEL_LIMIT,
    'Pictures of more pixels, and volumes of more than four times as many voxels, are refused before decoding.',
    1,
)

flags.adopt_module_key_flags(launch)


def main(argv: Sequence[str]) -> None:
    """Restores the detector, and serves the page until it is stopped."""
    launch.reject_arguments(argv)
    launch.start_jax_alone('detect.app')
    server = _import_server()
    judge = open_judge(
        launch.workdir(),
        error_level=_ERROR_LEVEL.value,
        prevalence=None,
        batch_size=1 if compute.on_cpu() else 32,  # CPUs gain nothing by more
    )
    reading = reader_options(_AXIS.value, _PIXEL_LIMIT.value)
    server.serve(judge, reading, _MAX_MEGABYTES.value * 2**20, _HOST.value, _PORT.value)


def _import_server() -> ModuleType:
    with needing_app():
        from detect.page import server
    return server


if __name__ == '__main__':
    launch.run_command(
        main, packages=('detect', 'backbones', 'input_pipeline'), user_errors=(input_pipeline.DataError,)
    )
