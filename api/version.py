"""Which version of Patchbay this is."""

from functools import cache


@cache
def version() -> str:
    """The version that is installed; `dev` where it runs from its source."""
    # It reads mail headers, and takes 5 ms to import.
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed_version

    try:
        return installed_version("patchbay")
    except PackageNotFoundError:
        return "dev"
