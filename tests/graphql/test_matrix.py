"""Who may do what: every field that takes an id, asked by every role, of what is shared with them and of what is somebody's own.

What is allowed is written down once, in `permissions.txt`. A field that is not there fails, and so does one that answers otherwise.
"""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

import models
from api.access import Actor
from api.graphql import routes
from api.graphql.context import Context
from api.graphql.schema import schema
from models import ConnectionEventType, FolderKind, OAuthAppOrigin, Permission
from tests.graphql.asking import Graph
from tests.graphql.endpoint import open_routes
from tests.graphql.filling import Root, roots

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

VIEW, USE, EDIT = Permission.VIEW, Permission.VIEW | Permission.USE, Permission.VIEW | Permission.CREATE | Permission.EDIT
GRANTS = {"other": None, "view": VIEW, "use": USE, "edit": EDIT, "manage": Permission.every()}
IN_SHARED = ["other", "view", "use", "edit", "manage", "administrator"]
IN_FOREIGN = ["other", "administrator"]
# What stands for an answer in the table.
YES, DENIED, HIDDEN = "yes", "denied", "hidden"
PLAIN = {"Int": 10, "Boolean": False, "DateTime": "2999-01-31T12:00:00Z", "String": "sandbox"}

# What narrows a question or makes it a mistake, and has nothing to do with who asks.
BESIDE_THE_POINT = [
    "after", "idempotencyKey", "returnUrl", "email", "search", "option", "action", "oauthApp", "scopes", "defaultScopes", "defaultFields",
    "defaultOAuthApp", "fields", "ownerId", "ownerActive", "isDefault", "active", "since", "until", "actorId", "filter", "secretExpiresAt",
]  # fmt: skip

TABLE = Path(__file__).parent / "permissions.txt"


def expected() -> dict[str, tuple[list[str], list[str]]]:
    """By field: the answers in a shared folder, and in somebody's workspace."""
    found = {}
    for line in TABLE.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            field, _, answers = line.partition(" ")
            shared, _, foreign = answers.partition("|")
            found[field] = shared.split(), foreign.split()
    return found


EXPECTED = expected()
ASKED = [root for root in roots("query", "mutation") if root.takes_an_id]


@pytest.fixture
async def olga(graph: Graph) -> Actor:
    """Whose everything is."""
    return await graph.here.add_person("Olga")


async def roles_in(graph: Graph, folder_id: UUID) -> dict[str, Actor]:
    """Somebody for each role in a folder."""
    people = {"administrator": graph.viewer}
    for role, permissions in GRANTS.items():
        people[role] = await graph.here.add_person(f"{role.title()} {uuid4().hex[:6]}")
        if permissions is not None:
            await models.FolderGrant.create(folder_id=folder_id, user_id=people[role].user_id, permissions=int(permissions))
    return people


async def things_of(graph: Graph, owner: Actor, folder_id: UUID) -> dict[str, str]:
    """One of everything that an id can name, in a folder; by the name of the argument, or of the field whose `id` it is."""
    here, name = graph.here, uuid4().hex
    folder = await models.Folder.get(id=folder_id)
    connection = await here.patchbay.connecting.connect(owner, here.token_request(folder_id=folder_id, name=name))
    authorization = await here.patchbay.connecting.connect(owner, here.consent_request(folder_id=folder_id, name=f"{name} too"))
    app = await here.patchbay.oauth_apps.add(
        connector_key="sandbox", name="App", client_id="app", client_secret=None, scopes=[], folder_id=folder_id,
        origin=OAuthAppOrigin.CONNECTION,
    )  # fmt: skip
    uma = await here.add_person(f"Uma {name[:6]}")
    token = await here.patchbay.people.add_token(uma.user_id, name=name)
    group = await models.Group.create(name=name, name_key=name, created_at=here.clock())
    now = here.clock()
    await models.ConnectorPolicy.create(connector_key="sandbox", group=group, created_at=now, updated_at=now)
    if folder.kind is FolderKind.SHARED:
        await models.FolderGrant.create(folder=folder, user_id=uma.user_id, permissions=int(Permission.VIEW))
    # Below the folder, so that what one may do there one may do here too.
    below = folder_id if folder.kind is FolderKind.SHARED else None
    elsewhere = await here.patchbay.folders.create(graph.viewer, name=name, parent_id=below)
    # At an address that is allowed, and where nothing is.
    url = f"{here.patchbay.settings.public_url}/nothing"
    webhook = (await here.patchbay.webhooks.managing.create(owner, folder_id=folder_id, url=url)).webhook
    delivery = await models.WebhookDelivery.create(
        webhook=webhook, message_id=name, event_id=1, event_type=ConnectionEventType.CREATED, payload="{}", next_attempt_at=here.clock(),
        created_at=here.clock(),
    )  # fmt: skip
    named: dict[str, UUID] = {
        **dict.fromkeys(["webhook", "webhookId", "enableWebhook", "disableWebhook", "deleteWebhook", "sendTestWebhook"], webhook.id),
        "resendWebhookDelivery": delivery.id,
        **dict.fromkeys(["folder", "folderId", "parentId", "folderIds", "deleteFolder"], folder_id),
        **dict.fromkeys(["connection", "connectionId", "connectionIds", "subjectId"], connection.id),
        **dict.fromkeys(["authorization", "cancelAuthorization"], authorization.id),
        **dict.fromkeys(["oauthAppId", "deleteOAuthApp"], app.id),
        **dict.fromkeys(["user", "userId", "userIds", "forUserId", "deactivateUser", "reactivateUser"], uma.user_id),
        **dict.fromkeys(["group", "groupId", "deleteGroup"], group.id),
        "revokeApiToken": token.row.id,
        "elsewhere": elsewhere.id,
    }
    return {key: str(id) for key, id in named.items()}


async def answer_to(graph: Graph, root: Root, actor: Actor, things: dict[str, str]) -> str:
    """What somebody is answered who asks a field about these things."""

    def choose(name: str, kind: str) -> Any:
        if kind == "ID":
            return things["elsewhere" if (root.name, name) == ("moveConnection", "folderId") else name]
        return uuid4().hex if name in ("name", "clientId", "clientSecret") else PLAIN[kind]

    # A policy is for a group or for a user.
    without = [*BESIDE_THE_POINT, *(["userId"] if "Policy" in root.name else [])]
    variables = root.variables(choose, without=without)
    told = await models.AuditEntry.all().count()
    result = await schema.execute(root.document(), variables, context_value=Context(graph.here.patchbay, actor))
    # Done, refused or failed: the audit log knows of it.
    assert root.kind == "query" or await models.AuditEntry.all().count() > told
    codes = [(error.extensions or {})["code"] for error in result.errors or []]
    if codes:
        return {"FORBIDDEN": DENIED, "NOT_FOUND": HIDDEN}.get(codes[0], str(codes[0]))
    assert result.data is not None
    return kind_of(result.data[root.name])


def kind_of(answer: Any) -> str:
    match answer:
        case None | {"__typename": "NotFoundError"} | {"nodes": []} | {"total": 0}:
            return HIDDEN
        case {"__typename": "PermissionDeniedError"}:
            return DENIED
    return YES


@pytest.mark.parametrize("root", ASKED, ids=lambda root: root.name)
async def test_a_field_answers_each_role_as_the_table_says(graph: Graph, olga: Actor, root: Root) -> None:
    assert root.name in EXPECTED, f"{root.name} takes an id: say in {TABLE.name} who may ask it"
    shared = (await graph.here.patchbay.folders.create(graph.viewer, name="Sales", parent_id=None)).id
    await models.FolderGrant.create(folder_id=shared, user_id=olga.user_id, permissions=int(Permission.every()))
    workspace = (await models.Folder.get(owner_id=olga.user_id)).id
    people = await roles_in(graph, shared)

    answers = {}
    for place, folder_id, roles in (("shared", shared, IN_SHARED), ("foreign", workspace, IN_FOREIGN)):
        answers[place] = [await answer_to(graph, root, people[role], await things_of(graph, olga, folder_id)) for role in roles]

    assert (answers["shared"], answers["foreign"]) == EXPECTED[root.name]


def test_the_table_has_no_line_too_many() -> None:
    assert sorted(EXPECTED) == sorted(root.name for root in ASKED)


async def test_who_is_not_signed_in_is_answered_nothing(graph: Graph, olga: Actor) -> None:
    things = await things_of(graph, olga, (await models.Folder.get(owner_id=olga.user_id)).id)

    async with open_routes(graph.here, routes(graph.here.patchbay.settings)) as endpoint:
        for root in ASKED:
            variables = root.variables(lambda name, kind: things.get(name, PLAIN.get(kind)), without=BESIDE_THE_POINT)
            answer = (await endpoint.post({"query": root.document(), "variables": variables}, headers={})).json()
            assert "data" not in answer
            assert [error["extensions"]["code"] for error in answer["errors"]] == ["UNAUTHENTICATED"]
