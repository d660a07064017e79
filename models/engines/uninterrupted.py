import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


async def uninterrupted(act: Coroutine[Any, Any, Result]) -> Result:
    """Run an act to its end even where the task is cancelled meanwhile; the cancellation is raised after it.

    Where the act itself fails, its own error is raised, cancelled or not.
    """
    # allowed: ownerless-task: it is waited for here, whatever is cancelled
    task = asyncio.ensure_future(act)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    result = task.result()
    if cancelled is not None:
        raise cancelled
    return result
