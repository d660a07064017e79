"""A receiver of somebody else's hears what happens to connections, also of what happened right before a server died."""

import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.asking import Api
from tests.acceptance.processes import PROJECT, free_port, running, until
from tests.acceptance.servers import OPERATORS_APP, Installation
from tests.webhooks.receiver import Received, Receiver, receiving

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(90)]

MACHINE = [{"name": "client_id", "value": "machine"}, {"name": "client_secret", "value": "machine-secret-canary"}]
CREATED = "... on CreateWebhookSuccess { secret webhook { id } }"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


def calling(installation: Installation, host: str) -> Installation:
    """The same Patchbay, where this host may be called too."""
    allowed = f"{installation.environment['PATCHBAY_EGRESS_ALLOW']},{host}"
    return replace(installation, environment=installation.environment | {"PATCHBAY_EGRESS_ALLOW": allowed})


@asynccontextmanager
async def owner_of(site: Installation) -> AsyncIterator[Api]:
    """A server that runs for as long as this lasts, and whoever started it."""
    async with site.serving() as (_, link), site.owner(link) as owner:
        yield owner


async def create(api: Api, url: str, **input: Any) -> dict[str, Any]:
    return await api.do("createWebhook", "CreateWebhookInput", CREATED, url=url, folderId=await api.workspace(), **input)


async def received(receiver: Receiver, count: int) -> list[Received]:
    """So many messages, in the order in which they tell of what happened."""

    async def look() -> list[Received] | None:
        return receiver.received if len(receiver.received) >= count else None

    return sorted(await until(look), key=lambda each: each.data["sequence"])


def told(each: Received) -> tuple[str, str | None, str, str | None]:
    data = each.data
    return each.message["type"], data["previousStatus"], data["status"], data["reason"] and data["reason"]["code"]


async def test_a_receiver_hears_of_a_connection_that_is_made_and_of_one_that_a_person_must_mend(
    installation: Installation, receiver: Receiver
) -> None:
    site = calling(installation, receiver.host)
    async with owner_of(site) as owner:
        await owner.register_app("oidc", *OPERATORS_APP)
        async with site.person("Kim") as kim:
            receiver.secrets.append((await create(kim.api, receiver.url()))["secret"])
            connection = await kim.connect()
            await received(receiver, 1)
            await site.provider.withdraw(kim.account)
            await received(receiver, 2)
            authorization = await kim.api.reconnect(connection["id"])
            await kim.consent(authorization["url"])
            seen = await received(receiver, 3)

    assert [told(each) for each in seen] == [
        ("connection.created", None, "CONNECTED", None),
        ("connection.status_changed", "CONNECTED", "ACTION_REQUIRED", "REAUTHENTICATION_REQUIRED"),
        ("connection.reconnected", "ACTION_REQUIRED", "CONNECTED", None),
    ]
    assert {each.data["connectionId"] for each in seen} == {connection["id"]}
    assert [each.verified_by for each in seen] == [receiver.secrets] * 3


async def test_what_happened_before_a_server_was_killed_is_told_by_the_next(
    installation: Installation, receiver: Receiver, tmp_path: Path
) -> None:
    site = calling(installation, receiver.host)
    async with owner_of(site) as owner:
        receiver.secrets.append((await create(owner, receiver.url()))["secret"])
        token = owner.token

    # One that does not deliver, so that it dies between the event and the delivery.
    command = (sys.executable, "-m", "api", "serve", "--no-refresh")
    async with running(*command, words=tmp_path / "killed", environment=site.environment) as program:
        await program.says(r"/sign-in\?link=")
        async with Api.opened(f"{site.url}/graphql", token) as api:
            machine = await api.connect("oidc", "OAUTH2_CLIENT_CREDENTIALS", fields=MACHINE)
        await program.kill()
    assert receiver.received == []

    async with site.serving():
        (first,) = await received(receiver, 1)
    assert (told(first)[0], first.data["connectionId"]) == ("connection.created", machine["id"])
    assert first.verified_by == receiver.secrets


async def test_the_receiver_of_the_readme_verifies_what_comes(installation: Installation, tmp_path: Path) -> None:
    section = (PROJECT / "README.md").read_text().partition("\n## Webhooks\n")[2]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert code is not None
    port = free_port()
    (tmp_path / "receiver.py").write_text(code[1].replace("9000", str(port)))
    site = calling(installation, f"127.0.0.1:{port}")

    async with owner_of(site) as owner:
        webhook = await create(owner, f"http://127.0.0.1:{port}/", events=["RENAMED"])
        environment = {"WEBHOOK_SECRET": webhook["secret"], "PYTHONUNBUFFERED": "1"}
        machine = await owner.connect("oidc", "OAUTH2_CLIENT_CREDENTIALS", fields=MACHINE, name="Robot")
        async with running(sys.executable, tmp_path / "receiver.py", words=tmp_path / "receiver", environment=environment) as program:
            await program.says("listening")
            await owner.rename(machine["id"], "Android")
            line = await program.says(r"msg_\S+ connection.renamed Android CONNECTED")

    assert line is not None
