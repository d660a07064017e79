"""A front end's day: people sign in at their organization's provider, connect, share, are refused, move things, and leave."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.acceptance.browsing import Browser
from tests.acceptance.identity import ADMINISTRATORS, Place

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(90)]

ERRORS = """
... on Error { message remedy } ... on PermissionDeniedError { permission lacking: folder { name } }
"""
FOLDERS = "{ viewer { id } folders { nodes { id name kind permissions } } }"
GROUPS = "{ groups { nodes { id name } } }"
SEEN = """
query Seen($filter: ConnectionFilter) {
  connections(filter: $filter) { nodes { id name status owner { id name } folder { id name } permissions } }
}
"""
CONNECT = f"""
mutation Connect($input: ConnectInput!) {{
  connect(input: $input) {{ __typename ... on ConnectSuccess {{ authorization {{ id url }} }} {ERRORS} }}
}}
"""

CREATE_FOLDER = f"""
mutation Create($input: CreateFolderInput!) {{ createFolder(input: $input) {{ ... on FolderSuccess {{ folder {{ id }} }} {ERRORS} }} }}
"""


def on_connection(mutation: str, input_type: str = "ConnectionIdInput", success: str = "ConnectionSuccess") -> str:
    shown = "connection { id name status folder { name } owner { name } isDefault }"
    return (
        f"mutation Do($input: {input_type}!) {{ done: {mutation}(input: $input) {{ __typename ... on {success} {{ {shown} }} {ERRORS} }} }}"
    )


class Desk:
    """Somebody at a browser in which they are signed in, and the front end that it shows."""

    def __init__(self, place: Place, browser: Browser) -> None:
        self.place = place
        self.browser = browser

    async def ask(self, document: str, **variables: Any) -> Any:
        answer = (await self.browser.ask(self.place.graphql, document, **variables)).json()
        assert "errors" not in answer, answer
        return answer["data"]

    async def do(self, document: str, **input: Any) -> dict[str, Any]:
        data = await self.ask(document, input=input)
        done: dict[str, Any] = next(iter(data.values()))
        return done

    async def folders(self) -> dict[str, dict[str, Any]]:
        return {folder["name"]: folder for folder in (await self.ask(FOLDERS))["folders"]["nodes"]}

    async def connections(self, **filter: Any) -> list[dict[str, Any]]:
        nodes: list[dict[str, Any]] = (await self.ask(SEEN, filter=filter))["connections"]["nodes"]
        return nodes


@asynccontextmanager
async def at_work(place: Place, subject: str, name: str, *groups: str) -> AsyncIterator[Desk]:
    await place.know(subject, name=name, groups=list(groups))
    async with Browser.opened(place.tls) as browser:
        page = await place.sign_in(browser, subject)
        assert f"Hello, {name}" in page.text
        yield Desk(place, browser)


async def test_a_day_from_the_first_sign_in_to_the_handing_over(place: Place) -> None:
    async with (
        at_work(place, "d1", "Ada", ADMINISTRATORS) as ada,
        at_work(place, "d2", "Ben", "/sales") as ben,
        at_work(place, "d3", "Cleo", "/sales") as cleo,
    ):
        # Everybody sees what is theirs, and nothing else.
        assert list(await ben.folders()) == ["Ben’s workspace"]
        assert list(await cleo.folders()) == ["Cleo’s workspace"]

        # The administrator shares a folder with a group of the identity provider's.
        sales = (await ada.do(CREATE_FOLDER, name="Sales"))["folder"]["id"]
        groups = {group["name"]: group["id"] for group in (await ada.ask(GROUPS))["groups"]["nodes"]}
        share = f"mutation Share($input: FolderGroupAccessInput!) {{ setFolderGroupAccess(input: $input) {{ __typename {ERRORS} }} }}"
        assert (await ada.do(share, folderId=sales, groupId=groups["/sales"], permissions=["USE"]))["__typename"] == "FolderSuccess"
        assert (await ben.folders())["Sales"]["permissions"] == ["VIEW", "USE"]

        # Ben connects an account, in his own workspace, with the consent that it takes.
        workspace = (await ben.folders())["Ben’s workspace"]["id"]
        begun = await ben.do(CONNECT, folderId=workspace, connectorKey="sandbox", authenticationType="OAUTH2_AUTHORIZATION_CODE")
        await ben.browser.open(begun["authorization"]["url"])
        page = await ben.browser.submit(account="alex", decision="allow")
        assert "is connected" in page.text
        (mine,) = await ben.connections()
        assert (mine["status"], mine["owner"]["name"], mine["folder"]["name"]) == ("CONNECTED", "Ben", "Ben’s workspace")
        assert await cleo.connections() == []
        assert mine["id"] not in {connection["id"] for connection in await ada.connections()}

        # Sharing it is refused, and he is told what he lacks, and where; once he has it, it is done, and keeps its id.
        move = on_connection("moveConnection", "MoveConnectionInput")
        refused = await ben.do(move, connectionId=mine["id"], folderId=sales)
        assert (refused["__typename"], refused["permission"], refused["lacking"]) == ("PermissionDeniedError", "CREATE", {"name": "Sales"})
        access = f"mutation Give($input: FolderAccessInput!) {{ setFolderAccess(input: $input) {{ __typename {ERRORS} }} }}"
        ben_id = (await ben.ask(FOLDERS))["viewer"]["id"]
        await ada.do(access, folderId=sales, userId=ben_id, permissions=["CREATE", "EDIT"])
        moved = (await ben.do(move, connectionId=mine["id"], folderId=sales))["connection"]
        assert (moved["id"], moved["folder"]["name"], moved["isDefault"]) == (mine["id"], "Sales", True)

        # Cleo may use it, and not change it.
        verified = await cleo.do(on_connection("verifyConnection", success="VerifyConnectionSuccess"), connectionId=mine["id"])
        assert verified["connection"]["status"] == "CONNECTED"
        renamed = await cleo.do(on_connection("renameConnection", "RenameConnectionInput"), connectionId=mine["id"], name="Cleo’s")
        assert (renamed["__typename"], renamed["permission"]) == ("PermissionDeniedError", "EDIT")

        # Ben leaves: he is out at once, what he owned is found, and handed over as it is.
        out = f"mutation Out($id: ID!) {{ deactivateUser(id: $id) {{ __typename {ERRORS} }} }}"
        assert (await ada.ask(out, id=ben_id))["deactivateUser"]["__typename"] == "UserSuccess"
        assert (await ben.browser.ask(place.graphql, FOLDERS)).status_code == 401
        left = await ada.connections(ownerActive=False)
        assert [connection["id"] for connection in left] == [mine["id"]]
        cleo_id = (await cleo.ask(FOLDERS))["viewer"]["id"]
        hand_over = on_connection("transferConnection", "TransferConnectionInput")
        handed = (await ada.do(hand_over, connectionId=mine["id"], userId=cleo_id))["connection"]
        assert (handed["id"], handed["owner"]["name"], handed["status"]) == (mine["id"], "Cleo", "CONNECTED")
        assert (await ada.connections(ownerActive=False)) == []

        # And all of it stands in the log, refusals included.
        log = "query Log($id: ID!) { auditLog(filter: {subjectId: $id}) { nodes { action outcome actorName } } }"
        told = [tuple(entry.values()) for entry in (await ada.ask(log, id=mine["id"]))["auditLog"]["nodes"]]
        assert ("connection.move", "REFUSED", "Ben") in told
        assert ("connection.move", "DONE", "Ben") in told
        assert ("connection.rename", "REFUSED", "Cleo") in told
        assert ("connection.transfer", "DONE", "Ada") in told
