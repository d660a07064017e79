"""The README's connectors of one's own, from the first mutation to the last: each as it stands there, at a server that others wrote."""

import re
from typing import Any

import pytest

from tests.acceptance.asking import Api
from tests.acceptance.processes import PROJECT
from tests.acceptance.servers import Provider

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

CHANGE = """
query ($key: String!) {
  connector(key: $key) {
    definition {
      key name vendor category documentationUrl baseUrl basic
      fields { name label secret required pattern example help }
      verify { path method account }
      oauth2 {
        grants authorizeUrl tokenUrl revokeUrl issuer clientAuthentication pkce scopeSeparator
        scopes { name mandatory default description } authorizeParams { name value } tokenParams { name value }
      }
      personalAccessToken { in name format }
      apiKey { in name format }
    }
  }
}
"""
PREVIEW = """
query ($input: ConnectorDefinitionInput!) {
  previewConnectorUpdate(input: $input) { ... on PreviewConnectorUpdateSuccess { changes { field after } migratingCount } }
}
"""
UPDATE = """
mutation ($input: ConnectorDefinitionInput!) { updateConnector(input: $input) { ... on ConnectorSuccess { connector { version } } } }
"""


def operations(heading: str) -> dict[str, str]:
    """The operations of one walk-through, by their names."""
    text = (PROJECT / "README.md").read_text(encoding="utf-8").partition(f"### {heading}\n")[2].partition("\n##")[0]
    blocks = re.findall(r"```graphql\n(.*?)```", text, re.DOTALL)
    return {re.findall(r"^(?:mutation|query) (\w+)", block)[0]: block for block in blocks}


class Reader:
    """Somebody who does what the README says, with the server of the tests in the place of the one it names."""

    def __init__(self, api: Api, provider: Provider) -> None:
        self.api = api
        self._provider = provider

    def here(self, text: str) -> str:
        return text.replace("https://api.acme.example", f"{self._provider.url}/api").replace(
            "https://login.acme.example", self._provider.url
        )

    async def do(self, operation: str, **variables: Any) -> dict[str, Any]:
        answer = await self.api.ask(self.here(operation), **variables)
        done: dict[str, Any] = next(iter(answer.values()))
        return done

    async def connect(self, operation: str, **variables: Any) -> dict[str, Any]:
        done = await self.do(operation, folder=await self.api.workspace(), **variables)
        connection: dict[str, Any] = done["connection"]
        return connection

    async def rename_and_delete(self, key: str, connection: dict[str, Any]) -> None:
        """The rest of the first walk-through, for the connector of another."""
        common = operations("With a personal access token")
        definition = (await self.api.ask(CHANGE, key=key))["connector"]["definition"] | {"name": "Changed"}

        assert (await self.do(common["Verify"], connection=connection["id"]))["connection"] == {"status": "CONNECTED"}
        assert await self.do(PREVIEW, input=definition) == {"changes": [{"field": "name", "after": "Changed"}], "migratingCount": 1}
        assert await self.do(UPDATE, input=definition) == {"connector": {"version": 2}}
        moved = await self.do(common["Migrate"].replace('"acme"', f'"{key}"'))
        assert [each["connection"]["connectorVersion"] for each in moved["connections"]] == [2]
        assert (await self.do(common["Verify"], connection=connection["id"]))["connection"] == {"status": "CONNECTED"}
        deleted = await self.do(common["Delete"].replace('"acme"', f'"{key}"'))
        assert deleted["deletedConnectionCount"] == 1
        assert connection["id"] not in {each["id"] for each in await self.api.connections()}


@pytest.fixture
def reader(owner: Api, provider: Provider) -> Reader:
    return Reader(owner, provider)


async def test_a_personal_access_token(reader: Reader) -> None:
    steps = operations("With a personal access token")
    assert list(steps) == ["Create", "Connect", "Verify", "Preview", "Update", "Migrate", "Delete"]

    created = await reader.do(steps["Create"])
    connection = await reader.connect(steps["Connect"], token="personal-token-canary-4e7b")
    verified = await reader.do(steps["Verify"], connection=connection["id"])
    preview = await reader.do(steps["Preview"])
    updated = await reader.do(steps["Update"])
    kept = (await reader.api.ask("{ connections { nodes { connectorVersion } } }"))["connections"]["nodes"]
    moved = await reader.do(steps["Migrate"])
    again = await reader.do(steps["Verify"], connection=connection["id"])
    deleted = await reader.do(steps["Delete"])

    assert created == {"connector": {"key": "acme", "version": 1, "origin": "CUSTOM"}}
    assert connection == {"id": connection["id"], "status": "CONNECTED", "account": "robin", "connectorVersion": 1}
    assert verified["connection"] == again["connection"] == {"status": "CONNECTED"}
    assert preview == {
        "version": 1,
        "changes": [{"field": "name", "before": "Acme", "after": "Acme CRM"}],
        "migratingCount": 1,
        "reconnectingCount": 0,
        "stayingCount": 0,
        "oauthAppsToGiveAgainCount": 0,
        "connections": {"nodes": [{"connection": {"name": "Acme"}, "effect": "MIGRATES", "reason": None}]},
    }
    assert updated == {"connector": {"version": 2, "name": "Acme CRM"}}
    assert kept == [{"connectorVersion": 1}]
    assert moved == {
        "migratedCount": 1,
        "connections": [{"connection": {"name": "Acme", "connectorVersion": 2}, "effect": "MIGRATES", "reason": None}],
    }
    assert deleted == {"deletedConnectionCount": 1, "revokedConnectionCount": 0}
    assert connection["id"] not in {each["id"] for each in await reader.api.connections()}


async def test_an_api_key(reader: Reader) -> None:
    steps = operations("With an API key")

    created = await reader.do(steps["Create"])
    refused = await reader.do(steps["Connect"], folder=await reader.api.workspace(), key="wrong")
    connection = await reader.connect(steps["Connect"], key="api-key-canary-9c3d")

    assert created == {"connector": {"key": "acme-key", "version": 1, "origin": "CUSTOM"}}
    assert refused["message"].startswith("Acme by key rejects this credential")
    assert (connection["status"], connection["account"]) == ("CONNECTED", "acme-account")
    await reader.rename_and_delete("acme-key", connection)


async def test_client_credentials_of_an_api_specification(reader: Reader, provider: Provider) -> None:
    steps = operations("With OAuth 2.0 client credentials")

    created = await reader.do(steps["Create"])
    connection = await reader.connect(steps["Connect"], clientId="machine", clientSecret="machine-secret-canary")
    exchanges = len(await provider.requests(client="machine"))

    assert created == {"connector": {"key": "acme-machine", "version": 1, "origin": "CUSTOM"}}
    assert (connection["status"], connection["account"]) == ("CONNECTED", "machine")
    assert connection["expiresAt"] is not None
    assert exchanges >= 1
    await reader.rename_and_delete("acme-machine", connection)


def document_of(heading: str) -> str:
    """The document of a walk-through."""
    text = (PROJECT / "README.md").read_text(encoding="utf-8").partition(f"### {heading}\n")[2].partition("\n##")[0]
    return text.partition("```yaml\n")[2].partition("```")[0]


async def test_an_api_description(reader: Reader, provider: Provider) -> None:
    steps = operations("From an API description")
    client = {"clientId": "machine", "clientSecret": "machine-secret-canary"}

    imported = await reader.do(steps["Import"], input={"document": reader.here(document_of("From an API description"))})
    definition = imported["draft"]["definition"]
    tested = await reader.do(steps["Test"], definition=definition, **client)
    refused = await reader.do(steps["Test"], definition=definition, **client | {"clientSecret": "another-secret-canary"})
    created = await reader.do(steps["Create"], definition=definition)
    connection = await reader.connect(steps["Connect"], **client)

    # The server of the tests is on this machine, and the one that is named in its place is not.
    assert [(each["field"], each["candidates"]) for each in imported["draft"]["undecided"]] == [("baseUrl", [])]
    assert (definition["key"], definition["vendor"], definition["verify"]) == (
        "acme-imported",
        "Acme Inc.",
        {"path": "/me", "method": "GET", "account": "sub"},
    )
    assert (tested["works"], refused["works"]) == (True, False)
    assert [(line["step"], line["outcome"]) for line in tested["lines"]] == [
        ("DEFINITION", "OK"),
        ("DISCOVERY", "SKIPPED"),
        ("TOKEN_ENDPOINT", "OK"),
        ("TOKEN", "OK"),
        ("VERIFY", "OK"),
        ("VERIFY_REFUSES", "OK"),
    ]
    assert [line["message"] for line in tested["lines"]] == told_in("From an API description")
    assert created == {"connector": {"key": "acme-imported", "version": 1, "origin": "CUSTOM"}}
    assert (connection["status"], connection["account"]) == ("CONNECTED", "machine")
    await reader.rename_and_delete("acme-imported", connection)


def told_in(heading: str) -> list[str]:
    """The messages that the README shows of a trial."""
    text = (PROJECT / "README.md").read_text(encoding="utf-8").partition(f"### {heading}\n")[2].partition("\n##")[0]
    return re.findall(r"^[A-Z_]+ +(?:OK|SKIPPED) +(.+)$", text, re.MULTILINE)
