"""PostgreSQL by asyncpg: a bounded pool, every wait with an end."""

import asyncio
import logging
from typing import Any

from asyncpg import Connection, InterfaceError, Pool, PostgresError, create_pool
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import PoolConnectionWrapper, TransactionContext

from models.engines.transaction import Outermost, Savepoint

logger = logging.getLogger(__name__)

# How long to wait for a connection while all of the pool are at work.
ACQUIRE_SECONDS = 10


class Client(AsyncpgDBClient):
    async def create_pool(self, **options: Any) -> Pool:
        return await create_pool(None, reset=_leave_as_it_is, **options)

    def acquire_connection(self) -> PoolConnectionWrapper[Any]:
        return Acquired(self, self._pool_init_lock)

    def _in_transaction(self) -> TransactionContext:
        return PostgresqlTransaction(self)

    async def execute_many(self, query: str, values: list[Any]) -> None:
        async with self._in_transaction() as transaction:
            await transaction.execute_many(query, values)


async def _leave_as_it_is(_: Connection) -> None:
    """Nothing is set in a session of the pool, and a transaction that is left open ends before this.

    So the usual statement, which resets everything, is a round trip for nothing each time that a connection is given back.
    """


class Acquired(PoolConnectionWrapper[Any]):
    async def __aenter__(self) -> Any:
        async with asyncio.timeout(ACQUIRE_SECONDS):
            return await super().__aenter__()


class TransactionClient(TransactionWrapper):
    def _in_transaction(self) -> TransactionContext:
        return Savepoint(TransactionClient(self))


class PostgresqlTransaction(Outermost):
    def __init__(self, parent: Client) -> None:
        super().__init__(TransactionClient(parent))
        self._acquired = Acquired(parent, parent._pool_init_lock)

    async def acquire(self) -> None:
        self.client._connection = await self._acquired.__aenter__()

    async def abandon(self) -> None:
        connection = self.client._connection
        try:
            if connection.is_in_transaction():
                await self.client.rollback()
        except (PostgresError, InterfaceError, OSError, TimeoutError):
            # The pool replaces it; the server rolls back what it held.
            connection.terminate()
            logger.warning("connection dropped, it could not be rolled back")

    async def release(self) -> None:
        await self._acquired.__aexit__(None, None, None)


client_class = Client
