"""A trained generator in a folder to be passed on: weights, programs, the script that runs them, and card."""

import dataclasses
from pathlib import Path

from gan.exports.card import describe_generator
from gan.exports.program import export_programs
from gan.generation.card import CARD_FILE
from gan.generation.origin import find_origin
from gan.generator import TrainedGenerator, Weights
from gan.reporting.runs import ReportedRun
from gan.weights import Description, round_parameters, write_exported

SCRIPT_FILE = 'sample.py'


def write_generator(
    folder: Path,
    trained: TrainedGenerator,
    run: ReportedRun,
    *,
    dtype: str,
    batch_size: int,
    licence: str,
    release: Path | None,
) -> Description:
    """Writes the folder, which is new or empty, and complete or as it was whatever happens meanwhile.

    Args:
      folder: for this generator alone.
      trained: the generator.
      run: that trained it.
      dtype: one of `weights.DTYPES`.
      batch_size: of the programs.
      licence: of the weights; '' where it is not stated.
      release: folder of images that these weights drew, or None; see `card.find_release`.

    Raises:
      UserError: see `card.find_release`.
      DataError: when the folder exists and holds something.
    """
    variables = round_parameters(trained.weights.variables, dtype)
    trained = dataclasses.replace(trained, weights=Weights(variables, trained.weights.alpha))
    origin = find_origin(trained, run, seed=0)  # no image is drawn, so no seed is told
    card = describe_generator(
        run, origin, dtype=dtype, batch_size=batch_size, licence=licence, release=release
    ).encode()
    script = Path(__file__).with_name(SCRIPT_FILE).read_bytes()
    programs = {
        f'generator-{platform}.stablehlo': program
        for platform, program in export_programs(trained, batch_size).items()
    }
    return write_exported(
        folder,
        trained.recipe,
        trained.facts,
        trained.position,
        variables,
        dtype=dtype,
        beside={CARD_FILE: card, SCRIPT_FILE: script, **programs},
        overwrite=folder.exists(),  # empty, or its maker would have refused it
        privacy=trained.privacy,
    )
