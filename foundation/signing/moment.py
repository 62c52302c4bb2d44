"""The time of a signature, as its signer states it: UTC, in whole seconds."""

import datetime as dt

from foundation.training.errors import UserError

FORM = '%Y-%m-%dT%H:%M:%SZ'


def read_moment(text: str, flag: str) -> dt.datetime:
    """The time that a user states, or that of the clock where he states none.

    Args:
      text: like 2026-11-28T12:00:00Z; '' for the clock.
      flag: that it came with, for what is told of a wrong one.

    Raises:
      UserError: for another form.
    """
    if not text:
        return dt.datetime.now(dt.UTC).replace(microsecond=0)
    try:
        return dt.datetime.strptime(text, FORM).replace(tzinfo=dt.UTC)
    except ValueError as error:
        raise UserError(f'{flag}={text} is no time; write it like 2026-11-28T12:00:00Z, in UTC.') from error


def write_moment(moment: dt.datetime) -> str:
    """The text that `read_moment` reads."""
    return moment.strftime(FORM)
