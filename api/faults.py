"""Faults of ours, as the log has them: their kind and where they were raised, under an id that the client is told.

Never a variable, a document, a local value or the message of an exception, because any of them may hold a secret.
"""

import logging
import secrets
from collections.abc import Iterator
from pathlib import PurePath
from traceback import walk_tb
from types import TracebackType
from typing import Any

_MOST_FRAMES = 30


def log_fault(logger: logging.Logger, event: str, cause: BaseException, **more: Any) -> str:
    """Log a fault; the id that it can be found by."""
    request = secrets.token_hex(8)
    logger.error(event, extra={**more, "request": request, "errors": list(_told(cause))})
    return request


def _told(error: BaseException | None) -> Iterator[dict[str, Any]]:
    """The kind of an error and of those that led to it, with where they were raised. Their messages may hold what was sent."""
    while error is not None:
        yield {"type": f"{type(error).__module__}.{type(error).__qualname__}", "at": _frames(error.__traceback__)}
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _frames(traceback: TracebackType | None) -> list[str]:
    return [
        f"{'/'.join(PurePath(frame.f_code.co_filename).parts[-3:])}:{line} {frame.f_code.co_name}" for frame, line in walk_tb(traceback)
    ][-_MOST_FRAMES:]
