"""Promises that hold for every field of the schema, also for those that are still to come."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from strawberry.types import ExecutionResult
from tortoise.context import require_context

import models
from api.graphql.context import Context
from api.graphql.schema import schema
from tests.graphql.asking import Graph
from tests.graphql.filling import Root, roots

pytestmark = pytest.mark.anyio

HOSTILE = [
    "",
    " ",
    "x",
    "a" * 65,
    "a" * 300,
    "a" * 70_000,
    "%_" * 30_000,
    "' OR 1=1 --",
    "\\",
    "\u202e\ufeff",
    "İß\U0001f600",
    "javascript:alert(1)",
    "http://[::1",
    "9999-12-31T23:59:59-14:00",
    "2030-01-31",
]
MOMENTS = ["2030-01-31T12:00:00", "2030-01-31", "2030-W05", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "soon", ""]
PLAIN = {"Int": 1, "Boolean": False, "DateTime": "2999-01-31T12:00:00Z"}
# What a client can get wrong; everything else would be a fault of ours.
MISTAKES = {"BAD_USER_INPUT", "NOT_FOUND"}


async def answer_of(graph: Graph, root: Root, variables: dict[str, Any]) -> Any:
    """The answer without what tells one question from another by chance: data, and the codes of errors."""
    result = await schema.execute(root.document(), variables, context_value=Context(graph.here.patchbay, graph.viewer))
    return result.data, [(error.extensions or {})["code"] for error in result.errors or []]


@pytest.fixture
async def ids(graph: Graph) -> dict[str, str]:
    """One of everything that an id can name, all of it Ada's; by the name of the argument, or of the field whose `id` it is."""
    people, ada = graph.here.patchbay.people, graph.here.ada
    folder = (await graph.here.patchbay.folders.create(ada, name="Sales", parent_id=None)).id
    connection = await graph.here.connect_with_token(folder_id=folder)
    authorization = await graph.here.begin(folder_id=folder)
    app = await graph.here.patchbay.oauth_apps.add(
        connector_key="sandbox", name="App", client_id="app", client_secret=None, scopes=[], folder_id=folder,
        origin=models.OAuthAppOrigin.CONNECTION,
    )  # fmt: skip
    group = await models.Group.create(name="Staff", name_key="staff", created_at=graph.here.clock())
    token = await people.add_token(ada.user_id, name="Ada's")
    url = f"{graph.here.patchbay.settings.public_url}/nothing"
    webhook = (await graph.here.patchbay.webhooks.managing.create(ada, folder_id=folder, url=url)).webhook
    delivery = await models.WebhookDelivery.create(
        webhook=webhook, message_id="msg_1", event_id=1, event_type=models.ConnectionEventType.CREATED, payload="{}",
        state=models.DeliveryState.DELIVERED, created_at=graph.here.clock(),
    )  # fmt: skip
    named: dict[str, UUID] = {
        **dict.fromkeys(["webhook", "webhookId", "enableWebhook", "disableWebhook", "deleteWebhook", "sendTestWebhook"], webhook.id),
        "resendWebhookDelivery": delivery.id,
        **dict.fromkeys(["folder", "folderId", "parentId", "deleteFolder"], folder),
        **dict.fromkeys(["connection", "connectionId", "connectionIds"], connection.id),
        **dict.fromkeys(["authorization", "cancelAuthorization", "authorizationChanged"], authorization.id),
        "revokeApiToken": token.row.id,
        **dict.fromkeys(["oauthAppId", "deleteOAuthApp"], app.id),
        **dict.fromkeys(["user", "userId", "userIds", "forUserId", "deactivateUser", "reactivateUser"], ada.user_id),
        **dict.fromkeys(["group", "groupId", "deleteGroup"], group.id),
        "folderIds": folder,
    }
    return {name: str(id) for name, id in named.items()}


@asynccontextmanager
async def unchanged() -> AsyncIterator[None]:
    """Nothing that is remembered differs afterwards."""
    before = await _remembered()
    yield
    assert await _remembered() == before


async def _remembered() -> dict[str, list[str]]:
    database: Any = require_context().db()
    # How often a data key was used is written later, whatever is asked meanwhile.
    # And what was refused is written down, by whom, whatever it was.
    named = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('crypto_key', 'audit_entry', 'sqlite_sequence')"
    tables = [row["name"] for row in await database.execute_query_dict(named)]
    return {table: sorted(repr(row) for row in await database.execute_query_dict(f'SELECT * FROM "{table}"')) for table in tables}


@pytest.mark.parametrize("root", roots("query", "mutation"), ids=lambda root: root.name)
async def test_no_text_makes_it_stumble(graph: Graph, ids: dict[str, str], root: Root, caplog: pytest.LogCaptureFixture) -> None:
    for text in HOSTILE:
        for known in ({}, ids, ids | {"connectorKey": "sandbox"}):

            def choose(name: str, kind: str, text: str = text, known: dict[str, str] = known) -> Any:
                return known.get(name, PLAIN.get(kind, text))

            # A cursor that is none ends it before the rest is read.
            _, codes = await answer_of(graph, root, root.variables(choose, without=["after"]))

            assert set(codes) <= MISTAKES, (text[:50], known)
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_moment_without_an_offset_or_outside_of_the_calendar_is_refused(graph: Graph, moment: str) -> None:
    create = 'mutation($at: DateTime) { createApiToken(input: {name: "CI", expiresAt: $at}) { __typename } }'
    literal = f'mutation {{ createApiToken(input: {{name: "CI", expiresAt: {json.dumps(moment)}}}) {{ __typename }} }}'

    async with unchanged():
        assert await graph.codes(create, at=moment) == ["BAD_USER_INPUT"]
        assert await graph.codes(literal) == ["BAD_USER_INPUT"]


@pytest.mark.parametrize("moment", ["2030-01-31T12:00:00Z", "2030-01-31T13:00:00+01:00", "2030-01-31T12:00:00.000+00:00"])
async def test_a_moment_is_told_in_utc(graph: Graph, moment: str) -> None:
    create = """
    mutation($at: DateTime) {
      createApiToken(input: {name: "CI", expiresAt: $at}) { ... on CreateApiTokenSuccess { apiToken { expiresAt } } }
    }
    """

    made = (await graph.ask(create, at=moment))["createApiToken"]

    assert made["apiToken"]["expiresAt"] == "2030-01-31T12:00:00+00:00"


async def test_an_idempotency_key_that_is_too_long_is_a_mistake_of_the_input(graph: Graph, ids: dict[str, str]) -> None:
    connect = "mutation($input: ConnectInput!) { connect(input: $input) { ... on InvalidInputError { fields { field } } } }"
    wish = {"folderId": ids["folder"], "connectorKey": "sandbox", "authenticationType": "OAUTH2_AUTHORIZATION_CODE"}

    answer = await graph.ask(connect, input=wish | {"idempotencyKey": "a" * 201})

    assert answer["connect"] == {"fields": [{"field": "idempotencyKey"}]}


@pytest.mark.parametrize("root", [root for root in roots("query", "mutation") if root.takes_an_id], ids=lambda root: root.name)
async def test_what_is_hidden_answers_as_what_never_was(graph: Graph, ids: dict[str, str], root: Root) -> None:
    stranger = graph.seen_by(await graph.here.add_person("Ben"))

    async with unchanged():
        for connector in ("sandbox", "github"):
            hidden = await answer_of(stranger, root, _plainly(root, ids | {"connectorKey": connector}))
            unknown = await answer_of(stranger, root, _plainly(root, {name: str(uuid4()) for name in ids} | {"connectorKey": connector}))

            assert hidden == unknown
    # And the ids were good: who may see what they name gets another answer.
    assert await answer_of(graph, root, _plainly(root, ids | {"connectorKey": "sandbox"})) != hidden


async def test_a_consent_of_another_is_not_streamed(graph: Graph, ids: dict[str, str]) -> None:
    stranger = graph.seen_by(await graph.here.add_person("Ben", administrator=True))
    (root,) = [root for root in roots("subscription") if root.name == "authorizationChanged"]

    for id in (ids["authorizationChanged"], str(uuid4()), "x"):
        stream = await schema.stream(root.document(), {"id": id}, context_value=Context(graph.here.patchbay, stranger.viewer))
        results = [result async for result in stream]

        assert isinstance(results[0], ExecutionResult)
        assert [(error.extensions or {})["code"] for error in results[0].errors or []] == ["NOT_FOUND"]
        assert len(results) == 1


async def test_events_of_a_hidden_folder_are_not_streamed(graph: Graph, ids: dict[str, str]) -> None:
    ben = await graph.here.add_person("Ben")
    theirs = await models.Folder.get(owner_id=ben.user_id)
    begin = (await graph.ask("query($id: ID!) { connection(id: $id) { events { nodes { cursor } } } }", id=ids["connection"]))["connection"]
    after = begin["events"]["nodes"][-1]["cursor"]

    await graph.here.connect_with_token(folder_id=UUID(ids["folder"]), name="Hidden")
    await graph.here.patchbay.connecting.connect(ben, graph.here.token_request(folder_id=theirs.id, name="Theirs"))

    document = f'subscription {{ connectionStatusChanged(after: "{after}") {{ connectionName }} }}'
    async with asyncio.timeout(5), graph.seen_by(ben).watching(document) as answers:
        assert await anext(answers) == {"connectionStatusChanged": {"connectionName": "Theirs"}}


def _plainly(root: Root, known: dict[str, str]) -> dict[str, Any]:
    """With these ids, and something for all else but what narrows a list."""
    return root.variables(lambda name, kind: known.get(name, PLAIN.get(kind, "x")), without=["after", "filter"])
