"""Asking Patchbay's API as a program does: over HTTP, with an API token."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import httpx2

_CONNECTION = """
fragment Shown on Connection {
  id name status isDefault account scopes missingScopes expiresAt nextRefreshAt lastRefreshedAt
  statusReason { ...Why } oauthApp { id clientId origin }
}
fragment Why on StatusReason { code message remedy fixableBy providerError }
"""

_CONNECT = """
... on ConnectSuccess { connection { ...Shown } authorization { id url status } }
... on InvalidInputError { fields { field message } } ... on ProviderError { reason { ...Why } }
"""


class Refused(Exception):
    """The API said no: the type of the error, and what it holds."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(answer)
        self.type: str = answer["__typename"]
        self.answer = answer


class Api:
    def __init__(self, url: str, token: str, client: httpx2.AsyncClient) -> None:
        self.url = url
        self.token = token
        self._client = client

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str, token: str) -> AsyncIterator[Self]:
        async with httpx2.AsyncClient(trust_env=False, timeout=30, headers={"Authorization": f"Bearer {token}"}) as client:
            yield cls(url, token, client)

    async def ask(self, document: str, **variables: Any) -> dict[str, Any]:
        """The data of an answer without errors."""
        response = await self._client.post(self.url, json={"query": document, "variables": variables})
        answer = response.json()
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    async def do(self, mutation: str, input_type: str, shown: str, **input: Any) -> dict[str, Any]:
        """What a mutation did. Raises Refused."""
        document = (
            f"mutation($input: {input_type}!) {{ {mutation}(input: $input) {{ __typename {shown} ... on Error {{ message remedy }} }} }}"
        )
        used = _CONNECTION if "...Shown" in shown else ""
        answer: dict[str, Any] = (await self.ask(document + used, input=input))[mutation]
        if answer["__typename"].endswith("Error"):
            raise Refused(answer)
        return answer

    async def workspace(self) -> str:
        return str((await self.ask("{ viewer { personalWorkspace { id } } }"))["viewer"]["personalWorkspace"]["id"])

    async def connect(self, connector: str, type: str, **input: Any) -> dict[str, Any]:
        """A connection, or the consent that it needs first. Raises Refused."""
        place = {"folderId": await self.workspace(), "connectorKey": connector, "authenticationType": type}
        answer = await self.do("connect", "ConnectInput", _CONNECT, **place, **input)
        found: dict[str, Any] = answer["connection"] or answer["authorization"]
        return found

    async def reconnect(self, connection_id: str, **input: Any) -> dict[str, Any]:
        answer = await self.do("reconnect", "ReconnectInput", _CONNECT, connectionId=connection_id, **input)
        found: dict[str, Any] = answer["connection"] or answer["authorization"]
        return found

    async def connection(self, connection_id: str) -> dict[str, Any]:
        document = f"query($id: ID!) {{ connection(id: $id) {{ ...Shown }} }} {_CONNECTION}"
        return dict((await self.ask(document, id=connection_id))["connection"])

    async def connections(self) -> list[dict[str, Any]]:
        return list((await self.ask(f"{{ connections {{ nodes {{ ...Shown }} }} }} {_CONNECTION}"))["connections"]["nodes"])

    async def authorization(self, authorization_id: str) -> dict[str, Any]:
        shown = "id status reason { ...Why } connection { ...Shown }"
        document = f"query($id: ID!) {{ authorization(id: $id) {{ {shown} }} }} {_CONNECTION}"
        return dict((await self.ask(document, id=authorization_id))["authorization"])

    async def register_app(self, connector: str, client_id: str, client_secret: str) -> None:
        shown = "... on OAuthAppSuccess { oauthApp { id } }"
        await self.do(
            "registerOAuthApp", "RegisterOAuthAppInput", shown, connectorKey=connector, clientId=client_id, clientSecret=client_secret
        )

    async def rename(self, connection_id: str, name: str) -> None:
        await self.do("renameConnection", "RenameConnectionInput", "", connectionId=connection_id, name=name)

    async def disable(self, connection_id: str) -> None:
        await self.do("disableConnection", "ConnectionIdInput", "", connectionId=connection_id)

    async def enable(self, connection_id: str) -> None:
        await self.do("enableConnection", "ConnectionIdInput", "", connectionId=connection_id)

    async def delete(self, connection_id: str) -> dict[str, Any]:
        shown = "... on DeleteConnectionSuccess { revokedAtProvider wasDefault }"
        return await self.do("deleteConnection", "ConnectionIdInput", shown, connectionId=connection_id)

    async def cursor(self, connection_id: str) -> str:
        """The cursor of the last that happened to a connection."""
        document = "query($id: ID!) { connection(id: $id) { events(first: 1) { nodes { cursor } } } }"
        return str((await self.ask(document, id=connection_id))["connection"]["events"]["nodes"][0]["cursor"])
