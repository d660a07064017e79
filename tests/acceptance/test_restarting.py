"""Patchbay stops, or is killed, and starts again: connections are kept, and go on being renewed."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.following import following
from tests.acceptance.processes import until
from tests.acceptance.servers import OPERATORS_APP, Installation, moment

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]


async def is_over(connection: dict[str, Any]) -> None:
    """Wait until the connection's access token has ended."""

    async def look() -> bool:
        return datetime.now(UTC) > moment(connection["expiresAt"])

    await until(look)


def lasting(connection: dict[str, Any]) -> dict[str, Any]:
    """What a renewal does not change."""
    return {name: value for name, value in connection.items() if name not in ("expiresAt", "nextRefreshAt", "lastRefreshedAt")}


async def test_connections_and_consents_under_way_outlive_a_stop_and_a_kill(installation: Installation, tmp_path: Path) -> None:
    async with installation.serving() as (server, link), installation.owner(link) as owner:
        await owner.register_app("oidc", *OPERATORS_APP)
        async with installation.person("Kim") as kim, installation.person("Lee") as lee:
            connection = await kim.connect()
            cursor = await kim.api.cursor(connection["id"])
            await server.stop()

            # After a stop nothing has changed, and the connection is renewed as before.
            async with installation.serving() as (server, _):
                assert [lasting(kept) for kept in await kim.api.connections()] == [lasting(connection)]
                authorization = await lee.api.connect("oidc", "OAUTH2_AUTHORIZATION_CODE")
                answer = await lee.consent(authorization["url"], stop_before=installation.callback)
                # Right after a renewal none is under way: what the provider then answers to a dead process is lost.
                connection = await kim.refreshed(connection["id"], after=(await kim.api.connection(connection["id"]))["lastRefreshedAt"])
                await server.kill()

            # Killed, and started once the token is over: it is renewed by what the provider gave last, and a consent goes on.
            await is_over(connection)
            async with installation.serving():
                connection = await kim.refreshed(connection["id"], after=connection["lastRefreshedAt"])
                assert "OIDC is connected" in (await lee.browser.open(answer.url)).text
                await kim.refreshed(connection["id"], after=connection["lastRefreshedAt"])

                # Whoever follows is told of nothing but what a person did.
                await kim.api.rename(connection["id"], "Still here")
                async with following("graphql-sse", kim.api, tmp_path, after=cursor) as follower:
                    [event] = await follower.first(1)
                assert (event["type"], event["status"], event["reason"]) == ("RENAMED", "CONNECTED", None)
