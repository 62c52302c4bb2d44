"""A trained detector: its network, and what is known of the scores that it gives."""

import dataclasses
from pathlib import Path
from typing import Any

from detect.calibration import Calibration, read_calibration
from detect.scoring import Anomalies, read_anomalies
from detect.trained_network import TrainedNetwork, restore_network
from foundation.training.errors import UserError


@dataclasses.dataclass(frozen=True)
class TrainedDetector(TrainedNetwork):
    """A finished detector.

    Attributes:
      anomalies: its scores of strangeness.
      calibration: what all its scores mean.
    """

    anomalies: Anomalies
    calibration: Calibration

    @classmethod
    def load(cls, workdir: Path, *, batch_size: int) -> 'TrainedDetector':
        """The best network of a finished run, and what its scores mean.

        Args:
          workdir: of the run.
          batch_size: images that the network looks at together.

        Raises:
          UserError: when the run is not finished, damaged, or was trained on since.
        """
        calibration = read_calibration(workdir)
        network = restore_network(workdir, None, batch_size=batch_size)
        if network.checksum != calibration.checksum:
            raise UserError(
                f'{workdir} was trained on after it was calibrated; run its training command to the end.'
            )
        own: dict[str, Any] = {field.name: getattr(network, field.name) for field in dataclasses.fields(network)}
        return cls(**own, anomalies=read_anomalies(workdir), calibration=calibration)
