"""Clients that others wrote, in JavaScript and in Python, over WebSocket and over server-sent events, see the same stream."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.following import CLIENTS, Follower, following
from tests.acceptance.servers import Person, Provider

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

MACHINE = [{"name": "client_id", "value": "machine"}, {"name": "client_secret", "value": "machine-secret-canary"}]


@asynccontextmanager
async def all_following(person: Person, folder: Path, *, after: str) -> AsyncIterator[list[Follower]]:
    """One client of each kind, all from behind the same cursor on."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(following(client, person.api, folder, after=after)) for client in CLIENTS]


def told(event: dict[str, Any]) -> tuple[str, str | None, str, str | None]:
    return event["type"], event["previousStatus"], event["status"], event["reason"] and event["reason"]["code"]


async def connect_machine(person: Person) -> str:
    return str((await person.api.connect("oidc", "OAUTH2_CLIENT_CREDENTIALS", fields=MACHINE))["id"])


async def test_clients_in_two_languages_see_the_same_events_in_the_same_order(kim: Person, provider: Provider, tmp_path: Path) -> None:
    machine = await connect_machine(kim)
    beginning = await kim.api.cursor(machine)

    async with all_following(kim, tmp_path, after=beginning) as followers:
        # Once the first event came everywhere, all that follows comes live.
        await kim.api.rename(machine, "Robot")
        for follower in followers:
            await follower.first(1)
        person = (await kim.connect())["id"]
        await kim.api.disable(machine)
        await kim.api.enable(machine)
        await kim.api.delete(machine)
        await provider.withdraw(kim.account)
        seen = [await follower.first(6) for follower in followers]

    assert seen[1:] == [seen[0], seen[0]]
    assert [(event["connectionId"], *told(event)) for event in seen[0]] == [
        (machine, "RENAMED", None, "CONNECTED", None),
        (person, "CREATED", None, "CONNECTED", None),
        (machine, "STATUS_CHANGED", "CONNECTED", "DISABLED", "DISABLED_BY_USER"),
        (machine, "STATUS_CHANGED", "DISABLED", "CONNECTED", None),
        (machine, "DELETED", None, "CONNECTED", None),
        (person, "STATUS_CHANGED", "CONNECTED", "ACTION_REQUIRED", "REAUTHENTICATION_REQUIRED"),
    ]
    assert len({beginning, *(event["cursor"] for event in seen[0])}) == 7


async def test_resuming_after_a_cursor_gives_exactly_what_was_missed(kim: Person, tmp_path: Path) -> None:
    machine = await connect_machine(kim)
    beginning = await kim.api.cursor(machine)
    await kim.api.rename(machine, "Robot 1")
    async with all_following(kim, tmp_path, after=beginning) as followers:
        before = [await follower.first(1) for follower in followers]

    # Nobody follows.
    await kim.api.rename(machine, "Robot 2")
    await kim.api.disable(machine)
    await kim.api.rename(machine, "Robot 3")

    [last] = {event["cursor"] for [event] in before}
    async with all_following(kim, tmp_path, after=last) as followers:
        missed = [await follower.first(3) for follower in followers]
        assert missed[1:] == [missed[0], missed[0]]
        assert [told(event) for event in missed[0]] == [
            ("RENAMED", None, "CONNECTED", None),
            ("STATUS_CHANGED", "CONNECTED", "DISABLED", "DISABLED_BY_USER"),
            ("RENAMED", None, "DISABLED", "DISABLED_BY_USER"),
        ]

        # What comes next comes once, right behind it.
        await kim.api.delete(machine)
        everything = [await follower.first(4) for follower in followers]
        assert [events[:3] for events in everything] == missed
        assert [told(events[3])[0] for events in everything] == ["DELETED"] * 3
