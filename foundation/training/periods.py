"""How often things happen in training."""

import dataclasses

from ml_collections import ConfigDict

from foundation.training import compute


@dataclasses.dataclass(frozen=True)
class Periods:
    """How often things happen, in images, and how calls are cut.

    Attributes:
      log, sample, checkpoint: images between two of them.
      steps_per_call: steps in one call of the device.
      max_skipped_in_a_row: the run ends with an error after so many skipped updates.
    """

    log: int
    sample: int
    checkpoint: int
    steps_per_call: int
    max_skipped_in_a_row: int


def periods_of(run: ConfigDict, cycle: int, sample: int) -> Periods:
    """The periods that a config's `run` asks for.

    Args:
      run: that part of the config.
      cycle: steps that repeat, see `compute.steps_per_call`.
      sample: images between two pictures.
    """
    return Periods(
        log=run.log_images,
        sample=sample,
        checkpoint=run.checkpoint_images,
        steps_per_call=compute.steps_per_call(run.steps_per_call, cycle),
        max_skipped_in_a_row=run.max_skipped_in_a_row,
    )
