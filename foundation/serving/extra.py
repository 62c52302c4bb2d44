"""What is said where the packages of a page are missing; needs none of them."""

import contextlib
from collections.abc import Iterator

from foundation.training.errors import UserError


@contextlib.contextmanager
def needing_app() -> Iterator[None]:
    """Within it, the server of a page is imported.

    Raises:
      UserError: when a package of the extra `app` is missing, with the command that installs it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or '').partition('.')[0]
        raise UserError(f"{package} is missing; install the extra `app`: pip install '.[app]'.") from error
