"""What was read of a folder of connector files, kept beside the code as Python keeps its bytecode.

The files that come with Patchbay were checked when they were made, and reading them again at every start takes longer than the rest of
the start. As with bytecode, whoever can write here can change what runs.
"""

import contextlib
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

_HERE = Path(__file__).parent


def kept(folder: Path, read: Callable[[], Result]) -> Result:
    """What `read` gives for a folder; from the last time where neither a file of it nor the code that reads it has changed."""
    place = _HERE / "__pycache__" / f"{folder.name}.{sys.implementation.cache_tag}.pickle"
    stamp = _stamp([*folder.glob("*.toml"), *_HERE.glob("*.py")])
    # Not there yet, cut off, or of classes that changed: then it is read anew.
    with contextlib.suppress(OSError, pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, TypeError, ValueError):
        # Written by this module alone, in a folder that holds code anyway.
        found, result = pickle.loads(place.read_bytes())  # noqa: S301  # nosec B301
        if found == stamp:
            # Of the type that `read` gives, since the same code wrote it.
            return result  # type: ignore[no-any-return]
    result = read()
    # A folder that cannot be written to costs time at every start, and nothing else.
    with contextlib.suppress(OSError):
        _write(place, pickle.dumps((stamp, result)))
    return result


def _stamp(files: Iterable[Path]) -> list[tuple[str, int, int]]:
    return sorted((str(file), status.st_mtime_ns, status.st_size) for file in files for status in (file.stat(),))


def _write(place: Path, content: bytes) -> None:
    """Whole or not at all, also where several processes start at once."""
    place.parent.mkdir(exist_ok=True)
    handle, name = tempfile.mkstemp(dir=place.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(place)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
