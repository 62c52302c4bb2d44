"""What the input pipeline says about bad input, and where refused files are kept."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from foundation.training.errors import UserError


class DataError(Exception):
    """Bad input data. The message is one sentence for the user: what, where, and what to do."""


class MissingSplitError(DataError):
    """A data set has no split of this name."""


def first_line(error: Exception) -> str:
    """What a library's error says, fit for one sentence; its type where it says nothing."""
    return str(error).strip().split('\n')[0] or type(error).__name__


def one_line(error: Exception) -> str:
    """The type of a library's error and what it says, short and fit for one sentence."""
    return ' '.join(f'{type(error).__name__}: {error}'.split())[:200]


def reason_of(error: Exception) -> str:
    """Why a file cannot be used, from whatever was raised while it was read.

    Files from outside are not to be trusted to fail in a known way: what a decoder raises is a reason to refuse
    the file, never to end the run. Only the type of an unknown error is told, since its text may quote the file.
    """
    if isinstance(error, DataError):
        return str(error)
    if isinstance(error, MemoryError):
        return 'is too large for the memory of this machine'
    if isinstance(error, OSError) and error.strerror:
        return f'cannot be read ({error.strerror})'
    return f'is damaged, or of a kind that is not known here (its reader ended with {type(error).__name__})'


@contextlib.contextmanager
def of_one_file() -> Iterator[None]:
    """Turns whatever the reading of one file raises into an error of that file, unlike a full disk later."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise DataError(reason_of(error)) from error


def as_text(name: str) -> str:
    """A file name as text that every encoding can hold: bytes that are not UTF-8 become `\\xf6`."""
    if name.isascii():
        return name
    try:
        return name.encode('utf-8', 'surrogateescape').decode('utf-8', 'backslashreplace')
    except UnicodeEncodeError:  # half a pair of UTF-16, as names on Windows may hold
        return name.encode('utf-8', 'backslashreplace').decode('utf-8')


@dataclasses.dataclass
class Refusals:
    """What became of files that are not in the data set, and what is worth knowing about those that are.

    Attributes:
      skip: False raises DataError at the first refusal; True collects and goes on.
      reasons: relative path of the file (or `file#part`) to the reason, in the order met.
      notes: sentences about the data that the user should read, each once, in the order met.
      passed_over: kind of file to the number of files that nobody would take for data.
    """

    skip: bool
    reasons: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
    passed_over: dict[str, int] = dataclasses.field(default_factory=dict)

    def add(self, path: Path | str, reason: str) -> None:
        """Records that `path` was refused.

        Raises:
          DataError: when refused files are not to be skipped.
        """
        if not self.skip:
            sentence = f'{path}: {reason} (--on_error=skip leaves such files out and lists them).'
            raise DataError(as_text(sentence))
        self.reasons[as_text(str(path))] = as_text(reason)

    @contextlib.contextmanager
    def refusing(self, source: str) -> Iterator[None]:
        """Whatever is said of bad input inside is the reason to refuse `source`."""
        try:
            yield
        except (DataError, UserError) as error:
            self.add(source, str(error))

    def print_first(self, most: int) -> None:
        """A line for each of the first refusals, and how many more there are."""
        for source, reason in list(self.reasons.items())[:most]:
            print(f'  {source}: {reason}')
        if len(self.reasons) > most:
            print(f'  ... and {len(self.reasons) - most} more')

    def note(self, sentence: str) -> None:
        """Keeps a sentence for the summary; nothing is refused. The same sentence is kept once."""
        text = as_text(sentence)
        if text not in self.notes:
            self.notes.append(text)

    def pass_over(self, kind: str, count: int = 1) -> None:
        """Counts files that are left out because of what they are, such as 'hidden files' (a plural)."""
        self.passed_over[kind] = self.passed_over.get(kind, 0) + count
