"""What the input pipeline says about bad input, and where refused files are kept."""

import dataclasses
from pathlib import Path


class DataError(Exception):
    """Bad input data. The message is one sentence for the user: what, where, and what to do."""


class MissingSplitError(DataError):
    """A data set has no split of this name."""


def first_line(error: Exception) -> str:
    """What a library's error says, fit for one sentence; its type where it says nothing."""
    return str(error).strip().split('\n')[0] or type(error).__name__


@dataclasses.dataclass
class Refusals:
    """Files that could not be used, each with its reason.

    Attributes:
      skip: False raises DataError at the first refusal; True collects and goes on.
      reasons: relative path of the file (or `file#part`) to the reason, in the order met.
    """

    skip: bool
    reasons: dict[str, str] = dataclasses.field(default_factory=dict)

    def add(self, path: Path | str, reason: str) -> None:
        """Records that `path` was refused.

        Raises:
          DataError: when refused files are not to be skipped.
        """
        if not self.skip:
            raise DataError(f'{path}: {reason} (--on_error=skip leaves such files out and lists them).')
        self.reasons[str(path)] = reason
