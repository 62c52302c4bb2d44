"""A trained detector: its network, and what is known of the scores that it gives."""

import dataclasses
from pathlib import Path
from typing import Any

from detect.calibration import Calibration, read_calibration
from detect.kinds import PictureKinds, read_kinds
from detect.scoring import Anomalies, read_anomalies
from detect.trained_network import TrainedNetwork, read_detector_config, restore_network
from foundation.training.errors import UserError


@dataclasses.dataclass(frozen=True)
class TrainedDetector(TrainedNetwork):
    """A finished detector.

    Attributes:
      anomalies: its scores of strangeness.
      calibration: what all its scores mean.
      kinds: of pictures that it was trained on; None of a detector that was finished before they were looked at.
    """

    anomalies: Anomalies
    calibration: Calibration
    kinds: PictureKinds | None

    @classmethod
    def load(cls, workdir: Path, *, batch_size: int) -> 'TrainedDetector':
        """The best network of a finished run, and what its scores mean.

        Args:
          workdir: of the run.
          batch_size: images that the network looks at together.

        Raises:
          UserError: when the run is no detector's, not finished, damaged, or was trained on since.
        """
        read_detector_config(workdir)
        calibration = read_calibration(workdir)
        network = restore_network(workdir, None, batch_size=batch_size)
        if network.checksum != calibration.checksum:
            raise UserError(
                f'{workdir} was trained on after it was calibrated; run its training command to the end.'
            )
        own: dict[str, Any] = {field.name: getattr(network, field.name) for field in dataclasses.fields(network)}
        kinds = read_kinds(workdir) if calibration.kinds else None
        if calibration.kinds and kinds is None:
            raise UserError(f'{workdir} holds no finished detector; run its training command to the end.')
        return cls(**own, anomalies=read_anomalies(workdir), calibration=calibration, kinds=kinds)
