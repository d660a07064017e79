"""Which version of Patchbay this is."""

from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version


@cache
def version() -> str:
    """The version that is installed; `dev` where it runs from its source."""
    try:
        return installed_version("patchbay")
    except PackageNotFoundError:
        return "dev"
