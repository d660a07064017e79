"""What is measured of requests and answers: each work with the sides that do it, and how each side is asked."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.bench.ground import Ground
from tests.bench.load import NUMBER
from tests.bench.sides import PEERS, SideName
from tests.faults.databases import Kind

_SCALARS = "name status statusChangedAt isDefault account scopes expiresAt nextRefreshAt lastRefreshedAt createdAt updatedAt"
LIST_FIELDS = f"id {_SCALARS} connector {{ key name }} folder {{ id name }}"
LIST = f"query List {{ connections(first: 50) {{ nodes {{ {LIST_FIELDS} }} pageInfo {{ hasNextPage }} }} }}"
CONNECTION = f"query One($id: ID!) {{ connection(id: $id) {{ {LIST_FIELDS} }} }}"
ISSUE = """
mutation Issue($id: ID!) {
  issueCredential(input: {connectionId: $id}) {
    __typename
    ... on IssueCredentialSuccess {
      credential { headers { name value } accessToken baseUrl expiresAt generation }
      connection { id name status }
    }
  }
}
"""
RENAME = """
mutation Rename($id: ID!, $name: String!) {
  renameConnection(input: {connectionId: $id, name: $name}) {
    __typename
    ... on ConnectionSuccess { connection { id name status } }
  }
}
"""
# The same in the dialects of the peers, which must be told the folder: they do not know who asks.
_MERCURIUS_LIST = LIST.replace("List", "List($folder: ID!)").replace("first: 50", "folder: $folder, first: 50")
_GRAPHILELIST_FIELDS = f"id: rowId {_SCALARS} connector {{ key name }} folder {{ id: rowId name }}"
_GRAPHILE_LIST = f"""
query List($folder: UUID!) {{
  connections: allConnections(first: 50, condition: {{folderId: $folder}}, orderBy: [NAME_KEY_ASC, ROW_ID_ASC]) {{
    nodes {{ {_GRAPHILELIST_FIELDS} }}
    pageInfo {{ hasNextPage }}
  }}
}}
"""
_GRAPHILE_CONNECTION = f"query One($id: UUID!) {{ connection: connectionByRowId(rowId: $id) {{ {_GRAPHILELIST_FIELDS} }} }}"


@dataclass(frozen=True, slots=True)
class Question:
    """What a side is asked: a path, a body, and what every right answer has in it."""

    path: str
    body: Mapping[str, Any]
    expected: str

    def request(self, port: int, token: str) -> str:
        """As HTTP, on a connection that is kept."""
        body = json.dumps(self.body)
        head = [
            f"POST {self.path} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            f"Authorization: Bearer {token}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join(head) + "\r\n\r\n" + body


# What a client asks, by its number.
Asking = Callable[[Ground, int], tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Work:
    name: str
    told: str
    # First Patchbay, then those that it is compared with.
    asking: Mapping[SideName, Asking]
    expected: str

    def sides(self, kind: Kind, beside: tuple[SideName, ...] = ()) -> tuple[SideName, ...]:
        """Those that know this kind of database: all, or Patchbay and some."""
        wanted = {"patchbay", *beside} if beside else self.asking.keys()
        return tuple(side for side in self.asking if side in wanted and (kind == "postgresql" or side not in PEERS))

    def question(self, side: SideName, ground: Ground, client: int = 0) -> Question:
        return Question(*self.asking[side](ground, client), self.expected)


def _graphql(document: str, variables: Callable[[Ground, int], Mapping[str, Any]] = lambda _, __: {}) -> Asking:
    return lambda ground, client: ("/graphql", {"query": document, "variables": variables(ground, client)})


def _id(ground: Ground, _: int) -> Mapping[str, Any]:
    return {"id": str(ground.connection_id)}


def _folder(ground: Ground, _: int) -> Mapping[str, Any]:
    return {"folder": str(ground.workspace_id)}


def _new_name(ground: Ground, client: int) -> Mapping[str, Any]:
    """Each client has a connection of its own, and gives it another name each time."""
    return {"id": str(ground.connection_ids[client % len(ground.connection_ids)]), "name": f"Renamed {NUMBER}"}


_WORKS = (
    Work(
        "list",
        "50 connections of all, with connector and folder",
        {
            "patchbay": _graphql(LIST),
            "ceiling": lambda _, __: ("/list", {}),
            "strawberry": _graphql(LIST),
            "tuned": _graphql(LIST),
            "postgraphile": _graphql(_GRAPHILE_LIST, _folder),
            "mercurius": _graphql(_MERCURIUS_LIST, _folder),
        },
        '"nodes"',
    ),
    Work(
        "connection",
        "one connection by its id",
        {
            "patchbay": _graphql(CONNECTION, _id),
            "ceiling": lambda at, _: (f"/connection/{at.connection_id}", {}),
            "postgraphile": _graphql(_GRAPHILE_CONNECTION, _id),
            "mercurius": _graphql(CONNECTION, _id),
        },
        '"folder"',
    ),
    Work(
        "issue",
        "a credential that need not be renewed",
        {
            "patchbay": _graphql(ISSUE, _id),
            "ceiling": lambda at, _: (f"/issue/{at.connection_id}", {}),
        },
        '"Bearer ',
    ),
    Work(
        "rename",
        "another name for a connection, each client its own",
        {
            "patchbay": _graphql(RENAME, _new_name),
            "ceiling": lambda at, client: ("/rename", _new_name(at, client)),
        },
        f'"Renamed {NUMBER}"',
    ),
)
WORKS = {work.name: work for work in _WORKS}
