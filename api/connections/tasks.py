"""The tasks in which connections are looked after: nobody who waits for one can cut it off, and none that fails ends the others."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Set
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID

Result = TypeVar("Result")


class Tasks:
    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        # By connection: of one there is one at a time, since each has its lease.
        self._attempts: dict[UUID, asyncio.Task[None]] = {}
        self._shared: dict[Hashable, asyncio.Future[Any]] = {}
        self._fewer = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Own the attempts; at the end wait for those under way, for a token that was asked for must be saved."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            yield
        self._group = None

    @property
    def connection_ids(self) -> Set[UUID]:
        """The connections at which an attempt is under way."""
        return self._attempts.keys()

    async def settled(self, *, at_most: int = 0) -> None:
        """Wait until no more than so many attempts are under way."""
        while len(self._attempts) > at_most:
            self._fewer.clear()
            await self._fewer.wait()

    def start(self, connection_id: UUID, attempt: Coroutine[Any, Any, None]) -> None:
        """Begin an attempt that raises nothing and that nobody waits for."""
        task = self._create(attempt)
        self._attempts[connection_id] = task
        task.add_done_callback(lambda _: self._ended(connection_id, task))

    async def deliver(self, connection_id: UUID, attempt: Coroutine[Any, Any, Result]) -> Result:
        """What comes of an attempt. It goes on where the caller is cancelled."""
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.start(connection_id, _deliver(attempt, answer))
        return await asyncio.shield(answer)

    async def share(self, key: Hashable, begin: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """What comes of this, begun by the first who asks for it, for all who ask until it is over. It goes on where they are cancelled."""
        answer = self._shared.get(key)
        if answer is None:
            answer = asyncio.get_running_loop().create_future()
            self._create(_deliver(begin(), answer))
            self._shared[key] = answer
            answer.add_done_callback(lambda _: self._shared.pop(key))
        result: Result = await asyncio.shield(answer)
        return result

    def _create(self, attempt: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        if self._group is None:
            attempt.close()
            raise RuntimeError("the refresher is not running")
        return self._group.create_task(attempt)

    def _ended(self, connection_id: UUID, task: asyncio.Task[None]) -> None:
        if self._attempts.get(connection_id) is task:
            del self._attempts[connection_id]
            self._fewer.set()


async def _deliver(attempt: Coroutine[Any, Any, Result], answer: asyncio.Future[Result]) -> None:
    """Hand the result or the failure of an attempt to whoever still waits for it."""
    try:
        answer.set_result(await attempt)
    # Whatever it is, it is raised where it is waited for, and must not end the other attempts.
    except Exception as error:
        answer.set_exception(error)
        # Whoever asked may be gone: then this was looked at.
        answer.exception()
    except asyncio.CancelledError:
        answer.cancel()
        raise
