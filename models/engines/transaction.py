"""The outermost transaction and the savepoint, alike for both databases.

A task may be cancelled at any await. So beginning, committing and rolling back always run to their end, and whatever was
acquired is released on every way out.
"""

import asyncio
from abc import abstractmethod
from typing import Any

from tortoise.backends.base.client import NestedTransactionContext, TransactionalDBClient, TransactionContext
from tortoise.connection import get_connections

from models.engines.uninterrupted import uninterrupted


class Outermost(TransactionContext):
    """A transaction on a connection of its own."""

    def __init__(self, client: TransactionalDBClient) -> None:
        self.client = client
        self.committed = False

    @abstractmethod
    async def acquire(self) -> None:
        """Wait for the connection. May be cancelled, and then holds nothing."""

    @abstractmethod
    async def abandon(self) -> None:
        """Bring the connection out of whatever transaction it is in. Raises nothing."""

    @abstractmethod
    async def release(self) -> None: ...

    async def __aenter__(self) -> TransactionalDBClient:
        await self.acquire()
        try:
            await uninterrupted(self.client.begin())
        except BaseException:
            await uninterrupted(self._give_up())
            raise
        self._token = get_connections().set(self.client.connection_name, self.client)
        return self.client

    async def __aexit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        get_connections().reset(self._token)
        await uninterrupted(self._commit() if exc_type is None else self._give_up())

    async def _commit(self) -> None:
        try:
            await self.client.commit()
            self.committed = True
        except BaseException:
            await self.abandon()
            raise
        finally:
            await self.release()

    async def _give_up(self) -> None:
        try:
            await self.abandon()
        finally:
            await self.release()


class Savepoint(NestedTransactionContext):
    """A transaction inside a transaction: undone alone, or kept with the outermost one."""

    def __init__(self, client: TransactionalDBClient) -> None:
        super().__init__(client)
        self.committed = False

    async def __aenter__(self) -> TransactionalDBClient:
        try:
            await uninterrupted(self.client.savepoint())
        except asyncio.CancelledError:
            await uninterrupted(self.client.savepoint_rollback())
            raise
        return self.client

    async def __aexit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        await uninterrupted(self._release() if exc_type is None else self.client.savepoint_rollback())

    async def _release(self) -> None:
        await self.client.release_savepoint()
        self.committed = True
