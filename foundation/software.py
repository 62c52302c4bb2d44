"""What files say of the program that wrote them."""

import functools
import importlib.metadata

SOFTWARE = 'enhanced-gan'


@functools.cache
def software_version(package: str = SOFTWARE) -> str:
    """The installed version of a package; 'unknown' where it is run from its source."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return 'unknown'
