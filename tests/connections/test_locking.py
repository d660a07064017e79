"""Acts that hold several rows at once, and meet: each comes to its end, because all take their locks in one order."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import api.connections.keeping
import models
from api.errors import Conflict
from api.organization.policy_wishes import PolicyWish
from models import AuthorizationStatus, ConnectionStatus, Permission, PolicyEnforcement
from models.database import rows
from tests.installation import Installation

# On SQLite one transaction writes at a time, so that none meets another.
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)]

_WAITING = """
SELECT count(*) AS waiting FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


class Stop:
    """A place at which a transaction stops, with all that it holds."""

    def __init__(self, real: Callable[..., Awaitable[Any]]) -> None:
        self.reached = asyncio.Event()
        self.released = asyncio.Event()
        self._real = real

    async def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.reached.set()
        await self.released.wait()
        return await self._real(*arguments, **named)


async def met(first: Awaitable[Any], stop: Stop, second: Awaitable[Any]) -> list[Any]:
    """The first up to its stop; the second until it waits for the first; then the first goes on."""
    async with asyncio.timeout(15):
        begun = [asyncio.ensure_future(first)]
        await stop.reached.wait()
        begun.append(asyncio.ensure_future(second))
        while not (await rows(_WAITING))[0]["waiting"]:
            await asyncio.sleep(0)
        stop.released.set()
        return await asyncio.gather(*begun, return_exceptions=True)


async def test_a_consent_that_is_kept_and_the_end_of_its_app_do_not_wait_for_each_other(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    authorization = await here.begin()
    assert authorization.oauth_app_id is not None
    # The connection is written by then, and refers to the app; the consent is not yet over.
    stop = Stop(api.connections.keeping._succeed)
    monkeypatch.setattr(api.connections.keeping, "_succeed", stop)

    kept, refused = await met(here.come_back(authorization), stop, here.patchbay.app_upkeep.delete(here.ada, authorization.oauth_app_id))

    assert isinstance(refused, Conflict), refused
    assert kept.status is AuthorizationStatus.SUCCEEDED
    assert await models.OAuthApp.exists(id=authorization.oauth_app_id)


async def test_a_new_owner_and_a_new_default_do_not_wait_for_each_other(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    # Another than who transfers: of one person, one act waits for the other before it holds anything.
    bob, cleo = await here.add_person("Bob"), await here.add_person("Cleo", administrator=True)
    folder = await here.patchbay.folders.create(here.ada, name="Shared", parent_id=None)
    await here.patchbay.folders.set_access(here.ada, folder.id, bob.user_id, Permission.every())
    made = [await here.connect_with_token(folder_id=folder.id, name=name) for name in ("one", "two")]
    first, second = sorted(made, key=lambda connection: connection.id)
    await here.patchbay.moving.transfer(here.ada, first.id, bob.user_id)
    suspended = PolicyWish("sandbox", user_id=bob.user_id, allowed=False, enforcement=PolicyEnforcement.SUSPEND)
    await here.patchbay.policies.set(here.ada, suspended)
    suspensions = here.patchbay.moving._suspensions
    # The second is held by then, and what holds for the new owner is looked at, who has the first as well.
    stop = Stop(suspensions.reconsider_held)
    monkeypatch.setattr(suspensions, "reconsider_held", stop)

    transfer = here.patchbay.moving.transfer(here.ada, second.id, bob.user_id)
    ended = await met(transfer, stop, here.patchbay.connections.set_default(cleo, second.id))

    assert [error for error in ended if isinstance(error, BaseException)] == []
    assert {row.id: (row.owner_id, row.status, row.is_default) for row in await models.Connection.all()} == {
        first.id: (bob.user_id, ConnectionStatus.DISABLED, False),
        second.id: (bob.user_id, ConnectionStatus.DISABLED, True),
    }
