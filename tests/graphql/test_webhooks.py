"""Webhooks in the graph."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.graphql.asking import Graph
from tests.webhooks.scene import Scene, opened_scene

pytestmark = pytest.mark.anyio

SHOWN = """
fragment Shown on Webhook {
  id url events folder { name } createdBy { name } createdAt disabledAt disabledReason failingSince secretSetAt
  previousSecretRetainedUntil
}
"""
CREATE = (
    """
mutation Create($input: CreateWebhookInput!) {
  createWebhook(input: $input) {
    __typename ... on CreateWebhookSuccess { webhook { ...Shown } secret }
    ... on Error { message remedy } ... on InvalidInputError { fields { field message } }
  }
}
"""
    + SHOWN
)
ROTATE = """
mutation Rotate($input: RotateWebhookSecretInput!) {
  rotateWebhookSecret(input: $input) { ... on RotateWebhookSecretSuccess { secret webhook { previousSecretRetainedUntil } } }
}
"""
UPDATE = (
    """
mutation Update($input: UpdateWebhookInput!) { updateWebhook(input: $input) { ... on WebhookSuccess { webhook { ...Shown } } } }
"""
    + SHOWN
)
REPLAY = """
mutation Replay($input: ReplayWebhookInput!) {
  replayWebhook(input: $input) {
    ... on ReplayWebhookSuccess { webhook { id } deliveryCount endCursor isComplete }
    ... on InvalidInputError { fields { field message } }
  }
}
"""
TEST = """
mutation Test($id: ID!) { sendTestWebhook(id: $id) { ... on SendTestWebhookSuccess { delivered status message } } }
"""
LIST = "query List($folder: ID, $after: String) { webhooks(folderId: $folder, first: 2, after: $after) { ...Page } }"
PAGE = "fragment Page on WebhookPage { totalCount nodes { id } pageInfo { endCursor hasNextPage } }"
DELIVERIES = """
query Deliveries($id: ID!, $after: String, $state: WebhookDeliveryState) {
  webhook(id: $id) { deliveries(first: 2, after: $after, state: $state) {
    totalCount pageInfo { endCursor hasNextPage }
    nodes { id messageId type payload isReplay state attempts nextAttemptAt lastAttemptAt lastStatus lastError createdAt finishedAt }
  } }
}
"""


@pytest.fixture
async def scene(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened_scene(sqlite_url, tmp_path) as scene:
        yield scene


@pytest.fixture
def graph(scene: Scene) -> Graph:
    return Graph(scene.here, scene.here.ada)


async def made(graph: Graph, scene: Scene, **input: Any) -> dict[str, Any]:
    answer: dict[str, Any] = (await graph.ask(CREATE, input={"url": scene.receiver.url()} | input))["createWebhook"]
    scene.receiver.secrets.append(answer["secret"])
    return dict(answer["webhook"])


async def test_a_webhook_is_made_and_answers_with_its_secret(graph: Graph, scene: Scene) -> None:
    folder = str(await scene.folder("Sales"))

    webhook = await made(graph, scene, folderId=folder, events=["DELETED", "RENAMED"])

    now = scene.here.clock().isoformat()
    assert webhook == {
        "id": webhook["id"],
        "url": scene.receiver.url(),
        "events": ["RENAMED", "DELETED"],
        "folder": {"name": "Sales"},
        "createdBy": {"name": "Ada"},
        "createdAt": now,
        "disabledAt": None,
        "disabledReason": None,
        "failingSince": None,
        "secretSetAt": now,
        "previousSecretRetainedUntil": None,
    }
    found = await graph.ask(f"query($id: ID!) {{ webhook(id: $id) {{ ...Shown }} }} {SHOWN}", id=webhook["id"])
    assert found["webhook"] == webhook


async def test_a_private_address_is_refused_with_the_reason(graph: Graph) -> None:
    answer = (await graph.ask(CREATE, input={"url": "https://10.0.0.1/hook"}))["createWebhook"]

    assert answer["fields"] == [{"field": "url", "message": "is not called: its address is not public"}]
    assert (await graph.ask("{ webhooks { totalCount } }"))["webhooks"]["totalCount"] == 0


async def test_lists_are_paged_by_folder_and_over_all(graph: Graph, scene: Scene) -> None:
    folder = str(await scene.folder("Sales"))
    in_folder = {(await made(graph, scene, folderId=folder))["id"] for _ in range(3)}
    everywhere = {(await made(graph, scene))["id"]}

    async def walk(**arguments: Any) -> list[str]:
        found: list[str] = []
        after = None
        while True:
            page = (await graph.ask(LIST + PAGE, after=after, **arguments))["webhooks"]
            found += [node["id"] for node in page["nodes"]]
            if not page["pageInfo"]["hasNextPage"]:
                assert page["totalCount"] == len(found)
                return found
            after = page["pageInfo"]["endCursor"]

    assert sorted(await walk(folder=folder)) == sorted(in_folder)
    assert sorted(await walk()) == sorted(in_folder | everywhere)
    assert await walk(folder="no id") == []


async def test_deliveries_are_listed_newest_first_and_by_state(graph: Graph, scene: Scene) -> None:
    webhook = await made(graph, scene)
    scene.receiver.plan(500)
    for name in ("One", "Two", "Three"):
        await scene.connect(name=name)
        await scene.settle(after=timedelta(seconds=1))

    first = (await graph.ask(DELIVERIES, id=webhook["id"]))["webhook"]["deliveries"]
    after = first["pageInfo"]["endCursor"]
    rest = (await graph.ask(DELIVERIES, id=webhook["id"], after=after))["webhook"]["deliveries"]
    waiting = (await graph.ask(DELIVERIES, id=webhook["id"], state="PENDING"))["webhook"]["deliveries"]

    nodes = first["nodes"] + rest["nodes"]
    assert (first["totalCount"], len(nodes), rest["pageInfo"]["hasNextPage"]) == (3, 3, False)
    assert [node["createdAt"] for node in nodes] == sorted((node["createdAt"] for node in nodes), reverse=True)
    assert [(node["state"], node["lastStatus"], node["lastError"]) for node in nodes] == [
        ("DELIVERED", 204, None),
        ("DELIVERED", 204, None),
        ("PENDING", 500, "It answered 500."),
    ]
    assert [node["id"] for node in waiting["nodes"]] == [nodes[-1]["id"]]
    assert {node["payload"].encode() for node in nodes} == {each.body for each in scene.receiver.received}


async def test_a_secret_is_replaced_and_the_one_before_ends(graph: Graph, scene: Scene) -> None:
    webhook = await made(graph, scene)
    ends_at = (datetime.now(UTC) + timedelta(days=2)).isoformat()

    answer = (await graph.ask(ROTATE, input={"webhookId": webhook["id"], "previousSecretEndsAt": ends_at}))["rotateWebhookSecret"]

    assert answer["secret"].startswith("whsec_")
    assert answer["secret"] not in scene.receiver.secrets
    assert answer["webhook"]["previousSecretRetainedUntil"] == ends_at


async def test_a_webhook_is_changed_switched_off_and_on_and_deleted(graph: Graph, scene: Scene) -> None:
    id = (await made(graph, scene))["id"]
    switch = "mutation($id: ID!) {{ {}(id: $id) {{ ... on WebhookSuccess {{ webhook {{ disabledAt disabledReason }} }} }} }}"

    changed = (await graph.ask(UPDATE, input={"webhookId": id, "events": ["CREATED"]}))["updateWebhook"]["webhook"]
    off = (await graph.ask(switch.format("disableWebhook"), id=id))["disableWebhook"]["webhook"]
    on = (await graph.ask(switch.format("enableWebhook"), id=id))["enableWebhook"]["webhook"]
    gone = "mutation($id: ID!) { deleteWebhook(id: $id) { ... on DeleteWebhookSuccess { webhookId } ... on Error { message } } }"

    assert (changed["url"], changed["events"]) == (scene.receiver.url(), ["CREATED"])
    assert off == {"disabledAt": scene.here.clock().isoformat(), "disabledReason": "Disabled by a person."}
    assert on == {"disabledAt": None, "disabledReason": None}
    assert (await graph.ask(gone, id=id))["deleteWebhook"] == {"webhookId": id}
    assert (await graph.ask(gone, id=id))["deleteWebhook"]["message"] == "There is no such webhook, or you may not see it."


async def test_a_test_says_what_the_receiver_said(graph: Graph, scene: Scene) -> None:
    id = (await made(graph, scene))["id"]
    scene.receiver.plan(200)
    scene.receiver.plan(404)

    answers = [(await graph.ask(TEST, id=id))["sendTestWebhook"] for _ in range(2)]

    assert answers == [
        {"delivered": True, "status": 200, "message": "It arrived: the receiver answered 200."},
        {"delivered": False, "status": 404, "message": "It answered 404."},
    ]


async def test_messages_are_sent_again_from_the_cursor_of_one_on(graph: Graph, scene: Scene) -> None:
    id = (await made(graph, scene))["id"]
    for name in ("One", "Two"):
        await scene.connect(name=name)
        await scene.settle()
    cursor = scene.receiver.received[0].data["cursor"]
    resend = "mutation($id: ID!) { resendWebhookDelivery(id: $id) { ... on ResendWebhookDeliverySuccess { delivery { state attempts } } } }"

    replayed = (await graph.ask(REPLAY, input={"webhookId": id, "after": cursor}))["replayWebhook"]
    await scene.settle()
    wrong = (await graph.ask(REPLAY, input={"webhookId": id}))["replayWebhook"]
    no_cursor = await graph.codes(REPLAY, input={"webhookId": id, "after": "x"})
    delivery = (await graph.ask(DELIVERIES, id=id))["webhook"]["deliveries"]["nodes"][-1]
    again = (await graph.ask(resend, id=delivery["id"]))["resendWebhookDelivery"]
    await scene.settle()

    assert (replayed["webhook"]["id"], replayed["deliveryCount"], replayed["isComplete"]) == (id, 1, True)
    assert replayed["endCursor"] == scene.receiver.received[1].data["cursor"]
    assert wrong["fields"] == [{"field": "since", "message": "give either a moment or, as `after`, the cursor of an event"}]
    assert no_cursor == []
    assert again == {"delivery": {"state": "PENDING", "attempts": 0}}
    assert len(scene.receiver.received) == 4


async def test_the_cursor_of_a_message_is_one_of_the_stream(graph: Graph, scene: Scene) -> None:
    await made(graph, scene)
    await scene.connect(name="One")
    await scene.settle()
    await scene.connect(name="Two")
    (received,) = scene.receiver.received[:1]

    watch = f'subscription {{ connectionStatusChanged(after: "{received.data["cursor"]}") {{ connectionName }} }}'
    async with graph.watching(watch) as answers:
        assert await anext(answers) == {"connectionStatusChanged": {"connectionName": "Two"}}
