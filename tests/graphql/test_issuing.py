"""Credentials in the graph: what a client is given, and that nothing else shows them."""

from datetime import timedelta
from typing import Any

import pytest

import models
from api.graphql.context import Context
from api.graphql.issuing import IssuedCredential
from api.graphql.schema import schema
from models import AuditOutcome
from tests.connections.test_refreshing import secrets_of
from tests.graphql.asking import Graph

pytestmark = pytest.mark.anyio

SHOWN = """
__typename
... on IssueCredentialSuccess {
  credential { headers { name value } query { name value } accessToken tokenType baseUrl expiresAt generation }
  connection { id lastUsedAt }
}
... on InvalidInputError { message fields { field message } }
... on ProviderError { message retryable reason { code } }
... on Error { message remedy }
"""
ISSUE = f"mutation($input: IssueCredentialInput!) {{ issueCredential(input: $input) {{ {SHOWN} }} }}"
ISSUE_DEFAULT = f"mutation($input: IssueDefaultCredentialInput!) {{ issueDefaultCredential(input: $input) {{ {SHOWN} }} }}"
REPORT = """
mutation($input: ReportRejectedCredentialInput!) {
  reportRejectedCredential(input: $input) {
    __typename
    ... on ConnectionSuccess { connection { id status statusReason { code } } }
    ... on InvalidInputError { fields { field message } }
    ... on Error { message remedy }
  }
}
"""


async def issue(graph: Graph, connection: models.Connection, **more: Any) -> Any:
    return (await graph.ask(ISSUE, input={"connectionId": str(connection.id), **more}))["issueCredential"]


async def test_a_credential_is_issued_in_the_shape_that_was_promised(graph_on_both: Graph) -> None:
    here = graph_on_both.here
    connection = await here.connect_by_consent()
    token = (await secrets_of(here, connection)).access_token
    assert token is not None

    answer = await issue(graph_on_both, connection)

    assert answer == {
        "__typename": "IssueCredentialSuccess",
        "credential": {
            "headers": [{"name": "Authorization", "value": f"Bearer {token.reveal()}"}],
            "query": [],
            "accessToken": token.reveal(),
            "tokenType": "Bearer",
            "baseUrl": f"{here.sandbox.issuer}/api",
            "expiresAt": "2026-01-05T12:01:00+00:00",
            "generation": 1,
        },
        "connection": {"id": str(connection.id), "lastUsedAt": "2026-01-05T12:00:00+00:00"},
    }


async def test_the_default_connection_is_used_where_only_folder_and_connector_are_named(graph: Graph) -> None:
    connection = await graph.here.connect_by_consent()
    named = {"folderId": str(graph.here.workspace), "connectorKey": "sandbox"}

    found = (await graph.ask(ISSUE_DEFAULT, input=named))["issueDefaultCredential"]
    missing = (await graph.ask(ISSUE_DEFAULT, input=named | {"connectorKey": "github"}))["issueDefaultCredential"]

    assert found["connection"]["id"] == str(connection.id)
    assert (missing["__typename"], missing["message"]) == (
        "NotFoundError",
        "There is no such default connection, or you may not see it.",
    )


async def test_a_mistake_names_its_field(graph: Graph) -> None:
    connection = await graph.here.connect_by_consent()

    answers = [await issue(graph, connection, minimumTtl=seconds) for seconds in (-1, 3601, 61)]

    assert [answer["__typename"] for answer in answers] == ["InvalidInputError"] * 3
    assert [answer["fields"][0]["field"] for answer in answers] == ["minimumTtl"] * 3
    assert await models.AuditEntry.filter(action="credential.issue", outcome=AuditOutcome.DONE).count() == 0


async def test_left_out_and_null_mean_a_minute(graph: Graph) -> None:
    connection = await graph.here.connect_by_consent()
    graph.here.clock.move(timedelta(seconds=1))

    generations = [(await issue(graph, connection, **more))["credential"]["generation"] for more in ({}, {"minimumTtl": None})]

    assert generations == [2, 2]


async def test_what_is_hidden_is_not_found(graph: Graph) -> None:
    connection = await graph.here.connect_by_consent()
    ben = graph.seen_by(await graph.here.add_person("Ben"))

    hidden, unknown = await issue(ben, connection), (await ben.ask(ISSUE, input={"connectionId": "nothing"}))["issueCredential"]

    assert hidden == unknown
    assert hidden["__typename"] == "NotFoundError"


async def test_a_rejected_credential_is_reported(graph: Graph) -> None:
    connection = await graph.here.connect_by_consent()
    id = str(connection.id)

    present = await graph.ask(REPORT, input={"connectionId": id, "generation": 1})
    future = await graph.ask(REPORT, input={"connectionId": id, "generation": 9})

    success = {"__typename": "ConnectionSuccess", "connection": {"id": id, "status": "CONNECTED", "statusReason": None}}
    assert present["reportRejectedCredential"] == success
    assert future["reportRejectedCredential"]["fields"] == [{"field": "generation", "message": "must be one that was issued: 1 to 2"}]


async def test_a_fault_after_the_issue_shows_no_credential(
    graph: Graph, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in the answer nor in the log, whatever the fault says of itself."""
    connection = await graph.here.connect_by_consent()
    shown: list[str] = []

    def broken(issued: Any) -> IssuedCredential:
        shown.append(issued.access_token.reveal())
        raise RuntimeError(f"broke with {shown[0]}")

    monkeypatch.setattr(IssuedCredential, "of", broken)

    context = Context(graph.here.patchbay, graph.viewer)
    result = await schema.execute(ISSUE, {"input": {"connectionId": str(connection.id)}}, context_value=context)

    assert [error.extensions["code"] for error in result.errors or [] if error.extensions] == ["INTERNAL"]
    told = f"{[error.formatted for error in result.errors or []]}{[vars(record) for record in caplog.records]}"
    assert shown[0] not in told
