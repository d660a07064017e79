"""What is measured: each work with the sides that do it, and how each side is asked."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.bench.ground import Ground

SideName = Literal["patchbay", "ceiling", "strawberry"]

_HAND = {"ceiling": "tests.bench.ceiling", "strawberry": "tests.bench.stock"}

_FIELDS = """
id name status statusChangedAt isDefault account scopes expiresAt nextRefreshAt lastRefreshedAt createdAt updatedAt
connector { key name } folder { id name }
"""
LIST = f"query List {{ connections(first: 50) {{ nodes {{ {_FIELDS} }} pageInfo {{ hasNextPage }} }} }}"
CONNECTION = f"query One($id: ID!) {{ connection(id: $id) {{ {_FIELDS} }} }}"
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


@dataclass(frozen=True, slots=True)
class Work:
    name: str
    told: str
    # First Patchbay, then those that it is compared with.
    sides: tuple[SideName, ...]
    document: str
    # Where the ceiling answers.
    by_hand: Callable[[Ground], str]
    expected: str
    takes_id: bool = True

    def question(self, side: SideName, ground: Ground) -> Question:
        variables = {"id": str(ground.connection_id)} if self.takes_id else {}
        if side == "ceiling":
            return Question(self.by_hand(ground), {}, self.expected)
        return Question("/graphql", {"query": self.document, "variables": variables}, self.expected)


WORKS = {
    work.name: work
    for work in (
        Work(
            "list",
            "50 connections of all, with connector and folder",
            ("patchbay", "ceiling", "strawberry"),
            LIST,
            lambda _: "/list",
            '"nodes"',
            takes_id=False,
        ),
        Work(
            "connection",
            "one connection by its id",
            ("patchbay", "ceiling"),
            CONNECTION,
            lambda at: f"/connection/{at.connection_id}",
            '"folder"',
        ),
        Work(
            "issue",
            "a credential that need not be renewed",
            ("patchbay", "ceiling"),
            ISSUE,
            lambda at: f"/issue/{at.connection_id}",
            '"Bearer ',
        ),
    )
}


def command(side: SideName, port: int) -> list[str]:
    """What is given to Python to serve a side."""
    return ["-m", "api", "serve", "--no-refresh"] if side == "patchbay" else ["-m", _HAND[side], str(port)]
