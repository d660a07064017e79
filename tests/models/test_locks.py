"""Locks upon what has no row."""

import asyncio

import pytest

from models.database import Database, rows, transaction
from models.locks import Lock, hold

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("database")]


async def test_whoever_changes_something_waits_for_those_who_rely_on_it_and_is_then_alone(database: Database) -> None:
    said: list[str] = []

    async def rely(name: str) -> None:
        async with transaction():
            await hold(Lock.POLICIES, to_change=False)
            said.append(f"{name} begins")
            await busy()
            said.append(f"{name} ends")

    async def change() -> None:
        async with transaction():
            await hold(Lock.POLICIES, to_change=True)
            said.append("change begins")
            await busy()
            said.append("change ends")

    await asyncio.gather(rely("one"), change(), rely("two"), change())

    for begin in ("change begins", *(["one begins", "two begins"] if database.dialect == "sqlite" else [])):
        for place in (place for place, each in enumerate(said) if each == begin):
            assert said[place + 1] == begin.replace("begins", "ends"), said
    assert len(said) == 8


async def test_a_lock_ends_with_its_transaction_also_where_that_is_undone() -> None:
    with pytest.raises(ZeroDivisionError):
        async with transaction():
            await hold(Lock.POLICIES, to_change=True)
            raise ZeroDivisionError

    async with asyncio.timeout(5), transaction():
        await hold(Lock.POLICIES, to_change=True)


async def busy() -> None:
    """Give the others every occasion to come between."""
    for _ in range(20):
        await rows("SELECT 1 AS one")
