"""PostgreSQL by asyncpg: a bounded pool, every wait with an end."""

import logging
from collections.abc import Sequence
from typing import Any

from asyncpg import Connection, InterfaceError, Pool, PostgresError, create_pool
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import PoolConnectionWrapper, TransactionContext
from tortoise.backends.base_postgres.client import translate_exceptions

from models.engines.alike import Alike
from models.engines.at_hand import AtHand, Lent
from models.engines.transaction import Outermost, Savepoint

logger = logging.getLogger(__name__)


class Client(AsyncpgDBClient):
    at_hand: AtHand

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._alike = Alike(self.acquire_connection)

    async def create_pool(self, **options: Any) -> Pool:
        pool = await create_pool(None, reset=_leave_as_it_is, **options)
        self.at_hand = AtHand(pool)
        return pool

    async def _close(self) -> None:
        if self._pool is not None:
            await self.at_hand.close()
        await super()._close()

    def _check_loop(self) -> bool:
        # A database is opened and closed within one loop, and this is asked for every statement.
        return True

    def acquire_connection(self) -> PoolConnectionWrapper[Any]:
        return Acquired(self, self._pool_init_lock)

    def _in_transaction(self) -> TransactionContext:
        return PostgresqlTransaction(self)

    @translate_exceptions
    async def execute_alike(self, query: str, values: Sequence[object], *, at_most: int) -> Sequence[Any]:
        """The rows of a statement that only reads, together with those that others ask of it at this moment."""
        return await self._alike.read(query, values, at_most=at_most)

    async def execute_many(self, query: str, values: list[Any]) -> None:
        async with self._in_transaction() as transaction:
            await transaction.execute_many(query, values)


async def _leave_as_it_is(_: Connection) -> None:
    """Nothing is set in a session of the pool, and a transaction that is left open ends before this.

    So the usual statement, which resets everything, is a round trip for nothing each time that a connection is given back.
    """


class Acquired(PoolConnectionWrapper[Any]):
    client: Client
    _at_hand: AtHand
    _lent: Lent

    async def __aenter__(self) -> Any:
        if self.client._pool is None:
            await self.ensure_connection()
        self._at_hand = self.client.at_hand
        self._lent = await self._at_hand.take()
        return self._lent.connection

    async def __aexit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        await self.give_back(done=exc_type is None)

    async def give_back(self, *, done: bool) -> None:
        await self._at_hand.give_back(self._lent, done=done)


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
        # To the pool: a statement in it may have been cut short and gone over, and only the pool waits for the end of that.
        await self._acquired.give_back(done=False)


client_class = Client
