"""The packages that signing needs, which not every installation has."""

import importlib.util

from foundation.training.errors import UserError

# The package as it is imported: the extra that installs it.
EXTRAS = {'cryptography': 'signing', 'rfc3161_client': 'signing', 'c2pa': 'c2pa'}


def is_installed(package: str) -> bool:
    """Whether one of `EXTRAS` can be imported."""
    return importlib.util.find_spec(package) is not None


def name_remedy(package: str) -> str:
    """The command that installs one of `EXTRAS`."""
    return f'pip install "enhanced-gan[{EXTRAS[package]}]"'


def require_package(package: str, purpose: str) -> None:
    """Raises UserError when a package is missing.

    Args:
      package: one of `EXTRAS`.
      purpose: what needs it, as a sentence begins.
    """
    if not is_installed(package):
        raise UserError(f'{purpose} needs the package {package}, which is not installed: {name_remedy(package)}')
