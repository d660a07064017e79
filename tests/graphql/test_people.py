"""People, groups, tokens, and what becomes of the connections of who leaves."""

import asyncio
from typing import Any

import pytest

import models
from api.access import Actor, Limits
from api.connections.query import ConnectionQuery
from api.connections.reading import Each
from api.graphql import routes
from models import FolderKind, Permission
from tests.graphql.asking import Graph, counted_statements
from tests.graphql.endpoint import open_routes

pytestmark = pytest.mark.anyio

USERS = """
query Users($first: Int, $after: String, $filter: UserFilter) {
  users(first: $first, after: $after, filter: $filter) {
    totalCount nodes { name email active groups { name } } pageInfo { endCursor hasNextPage }
  }
}
"""
GROUPS = """
query Groups($most: Int) {
  groups { totalCount nodes { name fromIdentityProvider members(first: $most) {
    totalCount nodes { name groups { name } } pageInfo { endCursor hasNextPage } } } }
}
"""
SET_ACCESS = """
mutation Give($input: FolderAccessInput!) {
  setFolderAccess(input: $input) {
    __typename ... on Error { message remedy } ... on PermissionDeniedError { permission folder { name } }
  }
}
"""
SET_GROUP_ACCESS = "mutation Give($input: FolderGroupAccessInput!) { setFolderGroupAccess(input: $input) { __typename } }"
CREATE_TOKEN = """
mutation Create($input: CreateApiTokenInput!) {
  createApiToken(input: $input) {
    __typename
    ... on CreateApiTokenSuccess { token apiToken { name kind prefix permissions folders { name } user { name } } }
    ... on Error { message }
  }
}
"""
TOKENS = """
query Tokens($userId: ID, $first: Int, $after: String) {
  tokens(userId: $userId, first: $first, after: $after) {
    totalCount nodes { name user { name } folders { name } } pageInfo { endCursor hasNextPage }
  }
}
"""
DEACTIVATE = """
mutation Deactivate($id: ID!) {
  deactivateUser(id: $id) { __typename ... on UserSuccess { user { name active deactivatedAt } } ... on Error { message } }
}
"""
REACTIVATE = "mutation Re($id: ID!) { reactivateUser(id: $id) { __typename ... on UserSuccess { user { active deactivatedAt } } } }"
OWNED = """
query Owned($filter: ConnectionFilter, $folder: ID) {
  connections(folderId: $folder, filter: $filter) {
    totalCount
    nodes {
      id name status account scopes missingScopes lastVerifiedAt statusReason { code } permissions oauthApp { id }
      connector { key } owner { name active } folder { name kind permissions access { user { name } } connections { totalCount } }
      events { totalCount }
    }
  }
}
"""
TRANSFER = """
mutation Transfer($input: TransferConnectionInput!) {
  transferConnection(input: $input) {
    __typename ... on ConnectionSuccess { connection { id name account owner { name } folder { kind } } } ... on Error { message }
  }
}
"""
MOVE = """
mutation Move($input: MoveConnectionInput!) {
  moveConnection(input: $input) {
    __typename
    ... on ConnectionSuccess { connection { id name isDefault folder { name } } }
    ... on Error { message remedy }
    ... on PermissionDeniedError { permission folder { name } }
  }
}
"""


async def group_of(graph: Graph, name: str, *members: Actor) -> models.Group:
    groups = graph.here.patchbay.groups
    group = await groups.create(graph.here.ada, name=name)
    return await groups.set_members(graph.here.ada, group.id, [member.user_id for member in members])


async def connect_as(graph: Graph, actor: Actor, **changes: Any) -> models.Connection:
    workspace = await models.Folder.get(owner_id=actor.user_id, kind=FolderKind.PERSONAL)
    connection = await graph.here.patchbay.connecting.connect(actor, graph.here.token_request(**{"folder_id": workspace.id} | changes))
    assert isinstance(connection, models.Connection)
    return connection


async def folder(graph: Graph, name: str, parent: models.Folder | None = None) -> models.Folder:
    return await graph.here.patchbay.folders.create(graph.here.ada, name=name, parent_id=parent.id if parent else None)


async def allow(graph: Graph, place: models.Folder, actor: Actor, permissions: Permission) -> None:
    await graph.here.patchbay.folders.set_access(graph.here.ada, place.id, actor.user_id, permissions)


# Who is there


async def test_an_administrators_page_of_users_is_whole(graph: Graph) -> None:
    ben, cleo = await graph.here.add_person("Ben"), await graph.here.add_person("Cleo")
    await group_of(graph, "Sellers", ben)
    await graph.ask(DEACTIVATE, id=str(cleo.user_id))

    first = (await graph.ask(USERS, first=2))["users"]
    second = (await graph.ask(USERS, first=2, after=first["pageInfo"]["endCursor"]))["users"]
    active = (await graph.ask(USERS, filter={"active": True, "search": "b"}))["users"]

    assert first["nodes"] + second["nodes"] == [
        {"name": "Ada", "email": "ada@example.com", "active": True, "groups": []},
        {"name": "Ben", "email": None, "active": True, "groups": [{"name": "Sellers"}]},
        {"name": "Cleo", "email": None, "active": False, "groups": []},
    ]
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]) == (3, True, False)
    assert [node["name"] for node in active["nodes"]] == ["Ben"]


async def test_a_plain_user_sees_themselves_and_who_shares_a_folder(graph: Graph) -> None:
    ben, cleo = await graph.here.add_person("Ben"), await graph.here.add_person("Cleo")
    theirs = graph.seen_by(ben)
    document = (
        "query One($ben: ID!, $ada: ID!, $cleo: ID!) { a: user(id: $ada) { email } b: user(id: $ben) { name } c: user(id: $cleo) { name } }"
    )
    ids = {"ben": str(ben.user_id), "ada": str(graph.here.ada.user_id), "cleo": str(cleo.user_id)}

    assert [node["name"] for node in (await theirs.ask(USERS))["users"]["nodes"]] == ["Ben"]
    assert await theirs.ask(document, **ids) == {"a": None, "b": {"name": "Ben"}, "c": None}

    sales = await folder(graph, "Sales")
    await allow(graph, sales, ben, Permission.VIEW)
    assert (await theirs.ask(USERS))["users"]["nodes"] == [
        {"name": "Ada", "email": None, "active": True, "groups": []},
        {"name": "Ben", "email": None, "active": True, "groups": []},
    ]
    assert await theirs.ask(document, **ids) == {"a": {"email": None}, "b": {"name": "Ben"}, "c": None}


async def test_groups_are_kept_by_administrators_from_first_to_last(graph: Graph) -> None:
    ben, cleo = await graph.here.add_person("Ben"), await graph.here.add_person("Cleo")
    document = """
    mutation Group($id: ID!, $ben: ID!, $cleo: ID!) {
      rename: renameGroup(input: {groupId: $id, name: "Sellers"}) { __typename ... on GroupSuccess { group { name } } }
      members: setGroupMembers(input: {groupId: $id, userIds: [$ben, $cleo]}) {
        __typename ... on GroupSuccess { group { members(first: 1) { totalCount nodes { name } } } }
      }
      delete: deleteGroup(id: $id) { __typename ... on DeleteGroupSuccess { groupId } ... on PermissionDeniedError { permission } }
    }
    """
    create = 'mutation { createGroup(input: {name: "Sales"}) { __typename ... on GroupSuccess { group { id fromIdentityProvider } } } }'

    made = (await graph.ask(create))["createGroup"]["group"]
    given = {"id": made["id"], "ben": str(ben.user_id), "cleo": str(cleo.user_id)}
    refused = await graph.seen_by(ben).ask(document, **given)
    done = await graph.ask(document, **given)
    gone = await graph.ask(document, **given)

    assert made["fromIdentityProvider"] is False
    assert {answer["__typename"] for answer in refused.values()} == {"PermissionDeniedError"}
    assert done == {
        "rename": {"__typename": "GroupSuccess", "group": {"name": "Sellers"}},
        "members": {"__typename": "GroupSuccess", "group": {"members": {"totalCount": 2, "nodes": [{"name": "Ben"}]}}},
        "delete": {"__typename": "DeleteGroupSuccess", "groupId": made["id"]},
    }
    assert {answer["__typename"] for answer in gone.values()} == {"NotFoundError"}


async def test_a_group_of_the_identity_provider_says_so_and_is_not_changed(graph: Graph) -> None:
    now = graph.here.clock.now
    group = await models.Group.create(name="Sales", name_key="sales", external_name="okta-sales", created_at=now)
    document = """
    mutation Group($id: ID!) {
      rename: renameGroup(input: {groupId: $id, name: "Mine"}) { __typename }
      members: setGroupMembers(input: {groupId: $id, userIds: []}) { __typename }
      delete: deleteGroup(id: $id) { __typename }
    }
    """

    answers = await graph.ask(document, id=str(group.id))
    shown = await graph.ask("query One($id: ID!) { group(id: $id) { name fromIdentityProvider } }", id=str(group.id))

    assert {answer["__typename"] for answer in answers.values()} == {"ConflictError"}
    assert shown == {"group": {"name": "Sales", "fromIdentityProvider": True}}


async def test_members_are_paged_and_lists_of_groups_are_read_at_once(graph_on_both: Graph) -> None:
    graph = graph_on_both
    people = [await graph.here.add_person(name) for name in ("Cleo", "Ben", "Dan")]
    counts = []
    for number in range(8):
        await group_of(graph, f"Group {number}", *people[: 1 + number % 3])
        if number in (1, 7):
            with counted_statements() as statements:
                answer = await graph.ask(GROUPS, most=2)
            counts.append(len(statements))

    groups = answer["groups"]
    # How the loaders batch may differ by one or two, never by one a row.
    assert max(counts) <= 12
    assert counts[1] - counts[0] <= 2
    assert groups["totalCount"] == 8
    third = groups["nodes"][2]["members"]
    assert (third["totalCount"], [node["name"] for node in third["nodes"]], third["pageInfo"]["hasNextPage"]) == (3, ["Ben", "Cleo"], True)
    rest = "query Rest($id: ID!, $after: String) { group(id: $id) { members(first: 2, after: $after) { nodes { name } } } }"
    id = str((await models.Group.get(name="Group 2")).id)
    assert (await graph.ask(rest, id=id, after=third["pageInfo"]["endCursor"]))["group"] is not None
    other = str((await models.Group.get(name="Group 1")).id)
    assert await graph.codes(rest, id=other, after=third["pageInfo"]["endCursor"]) == ["BAD_USER_INPUT"]


# Who may do what


async def test_what_a_group_was_given_is_shown_with_where_it_comes_from(graph: Graph) -> None:
    ben = await graph.here.add_person("Ben")
    upper = await folder(graph, "Sales")
    lower = await folder(graph, "EMEA", upper)
    group = await group_of(graph, "Sellers", ben)
    given = {"folderId": str(upper.id), "groupId": str(group.id), "permissions": ["USE"]}
    assert (await graph.ask(SET_GROUP_ACCESS, input=given))["setFolderGroupAccess"] == {"__typename": "FolderSuccess"}

    document = """
    query Shown($id: ID!) {
      folder(id: $id) { permissions groupAccess { group { name members { nodes { name } } } permissions inheritedFrom { name } } }
    }
    """
    shown = (await graph.seen_by(ben).ask(document, id=str(lower.id)))["folder"]

    assert shown == {
        "permissions": ["VIEW", "USE"],
        "groupAccess": [
            {
                "group": {"name": "Sellers", "members": {"nodes": [{"name": "Ben"}]}},
                "permissions": ["VIEW", "USE"],
                "inheritedFrom": {"name": "Sales"},
            }
        ],
    }


async def test_giving_more_than_one_has_is_denied_with_the_permission_and_the_folder(graph: Graph) -> None:
    ben, cleo = await graph.here.add_person("Ben"), await graph.here.add_person("Cleo")
    sales = await folder(graph, "Sales")
    await allow(graph, sales, ben, Permission.MANAGE)
    given = {"folderId": str(sales.id), "userId": str(cleo.user_id), "permissions": ["VIEW", "DELETE"]}

    denied = (await graph.seen_by(ben).ask(SET_ACCESS, input=given))["setFolderAccess"]

    assert (denied["__typename"], denied["permission"], denied["folder"]) == ("PermissionDeniedError", "DELETE", {"name": "Sales"})
    assert await models.FolderGrant.filter(user_id=cleo.user_id).count() == 0


async def test_the_last_who_manages_is_told_why_they_stay(graph: Graph) -> None:
    ben = await graph.here.add_person("Ben")
    sales = await folder(graph, "Sales")
    await allow(graph, sales, ben, Permission.MANAGE)
    await allow(graph, sales, graph.here.ada, Permission(0))
    given = {"folderId": str(sales.id), "userId": str(ben.user_id), "permissions": []}

    denied = (await graph.seen_by(ben).ask(SET_ACCESS, input=given))["setFolderAccess"]
    allowed = (await graph.ask(SET_ACCESS, input=given))["setFolderAccess"]

    assert denied == {
        "__typename": "PermissionDeniedError",
        "message": "This would leave nobody who manages “Sales”.",
        "remedy": "Let somebody else manage it first, or ask an administrator.",
        "permission": None,
        "folder": None,
    }
    assert allowed["__typename"] == "FolderSuccess"


# Tokens


async def test_a_machines_token_is_limited_and_says_how(graph: Graph) -> None:
    sales = await folder(graph, "Sales")
    await folder(graph, "Other")
    wish = {"name": "CI", "kind": "SERVICE", "permissions": ["USE"], "folderIds": [str(sales.id)]}

    made = (await graph.ask(CREATE_TOKEN, input=wish))["createApiToken"]
    plain = (await graph.ask(CREATE_TOKEN, input={"name": "Mine"}))["createApiToken"]

    assert made["token"].startswith("pb_service_")
    assert made["apiToken"] == {
        "name": "CI",
        "kind": "SERVICE",
        "prefix": made["token"].rpartition("_")[0],
        "permissions": ["VIEW", "USE"],
        "folders": [{"name": "Sales"}],
        "user": {"name": "Ada"},
    }
    assert (plain["apiToken"]["kind"], plain["apiToken"]["permissions"], plain["apiToken"]["folders"]) == ("USER", None, None)
    async with open_routes(graph.here, routes(graph.here.patchbay.settings)) as endpoint:
        headers = {"content-type": "application/json", "authorization": f"Bearer {made['token']}"}
        asked = {"query": "{ viewer { name personalWorkspace { id } } folders { nodes { name permissions } } }"}
        answer = (await endpoint.post(asked, headers=headers)).json()
    assert answer["data"] == {
        "viewer": {"name": "Ada", "personalWorkspace": None},
        "folders": {"nodes": [{"name": "Sales", "permissions": ["VIEW", "USE"]}]},
    }


async def test_a_token_for_other_folders_knows_nothing_of_a_consent(graph: Graph) -> None:
    sales = await folder(graph, "Sales")
    consent = await graph.here.begin()
    within = await graph.here.begin(folder_id=sales.id)
    limited = Actor(graph.here.ada.user_id, "Ada", administrator=True, limits=Limits(folder_ids=frozenset({sales.id})))
    document = "query One($id: ID!) { authorization(id: $id) { status } }"
    cancel = "mutation Cancel($id: ID!) { cancelAuthorization(id: $id) { __typename } }"

    hidden = await graph.seen_by(limited).ask(cancel, id=str(consent.id))

    assert hidden == {"cancelAuthorization": {"__typename": "NotFoundError"}}
    assert await graph.seen_by(limited).ask(document, id=str(consent.id)) == {"authorization": None}
    assert await graph.seen_by(limited).ask(document, id=str(within.id)) == {"authorization": {"status": "PENDING"}}
    assert await graph.ask(document, id=str(consent.id)) == {"authorization": {"status": "PENDING"}}


async def test_tokens_are_listed_for_their_owner_and_for_administrators(graph: Graph) -> None:
    ben = await graph.here.add_person("Ben")
    people, sales = graph.here.patchbay.people, await folder(graph, "Sales")
    for name in ("a", "b", "c"):
        await people.create_token(graph.here.ada, name=name, user_id=ben.user_id, folder_ids=(sales.id,))
    await people.create_token(graph.here.ada, name="Ada’s")

    first = (await graph.ask(TOKENS, userId=str(ben.user_id), first=2))["tokens"]
    second = (await graph.ask(TOKENS, userId=str(ben.user_id), first=2, after=first["pageInfo"]["endCursor"]))["tokens"]
    theirs = (await graph.seen_by(ben).ask(TOKENS))["tokens"]

    names = [node["name"] for node in first["nodes"] + second["nodes"]]
    assert (sorted(names), first["totalCount"], (await graph.ask(TOKENS))["tokens"]["totalCount"]) == (["a", "b", "c"], 3, 4)
    assert first["nodes"][0]["folders"] == [{"name": "Sales"}]
    # The folder is named to who sees it, and it is not Ben.
    assert {(node["name"], tuple(node["folders"])) for node in theirs["nodes"]} == {("a", ()), ("b", ()), ("c", ())}
    for id in (str(graph.here.ada.user_id), "x"):
        assert (await graph.seen_by(ben).ask(TOKENS, userId=id))["tokens"]["totalCount"] == 0


async def test_lists_of_people_and_tokens_never_ask_once_a_row(graph: Graph) -> None:
    people, sales = graph.here.patchbay.people, await folder(graph, "Sales")
    counts = []
    for round in range(2):
        for number in range(4):
            user = await graph.here.add_person(f"Person {round}{number}")
            await group_of(graph, f"Group {round}{number}", user)
            await allow(graph, sales, user, Permission.USE)
            await people.create_token(graph.here.ada, name="x", user_id=user.user_id, folder_ids=(sales.id,))
        asked = []
        for document in (USERS, TOKENS, "{ folders { nodes { access { user { groups { name } } } groupAccess { group { name } } } } }"):
            with counted_statements() as statements:
                await graph.ask(document)
            asked.append(len(statements))
        counts.append(asked)

    assert max(counts[0] + counts[1]) <= 14
    assert all(many - few <= 2 for few, many in zip(*counts, strict=True))


# Leaving


async def test_who_is_deactivated_asks_no_more_and_who_comes_back_does(graph: Graph) -> None:
    ben = await graph.here.add_person("Ben")
    id = str(ben.user_id)

    refused = (await graph.seen_by(ben).ask(DEACTIVATE, id=str(graph.here.ada.user_id)))["deactivateUser"]
    oneself = (await graph.ask(DEACTIVATE, id=str(graph.here.ada.user_id)))["deactivateUser"]
    done = (await graph.ask(DEACTIVATE, id=id))["deactivateUser"]
    back = (await graph.ask(REACTIVATE, id=id))["reactivateUser"]

    assert [answer["__typename"] for answer in (refused, oneself)] == ["PermissionDeniedError", "ConflictError"]
    assert done["user"] == {"name": "Ben", "active": False, "deactivatedAt": graph.here.clock.now.isoformat()}
    assert back["user"] == {"active": True, "deactivatedAt": None}


async def test_a_token_and_a_stream_of_who_is_deactivated_end_at_once(graph: Graph) -> None:
    ben = await graph.here.add_person("Ben")
    token = (await graph.here.patchbay.people.create_token(ben, name="CI")).token.reveal()
    document = "subscription { connectionStatusChanged { type } }"

    async with open_routes(graph.here, routes(graph.here.patchbay.settings)) as endpoint, graph.seen_by(ben).watching(document) as answers:
        headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
        waiting = asyncio.ensure_future(anext(answers))
        assert (await endpoint.post({"query": "{ viewer { name } }"}, headers=headers)).json()["data"] == {"viewer": {"name": "Ben"}}
        await graph.ask(DEACTIVATE, id=str(ben.user_id))
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(waiting, 1)
        answer = await endpoint.post({"query": "{ viewer { name } }"}, headers=headers)

    assert answer.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_what_a_deactivated_owner_left_is_listed_for_administrators_by_name_alone(graph_on_both: Graph) -> None:
    graph = graph_on_both
    ben, cleo = await graph.here.add_person("Ben"), await graph.here.add_person("Cleo")
    sales = await folder(graph, "Sales")
    await allow(graph, sales, ben, Permission.every())
    await allow(graph, sales, cleo, Permission.VIEW)
    shared, own = await connect_as(graph, ben, folder_id=sales.id, name="Shared"), await connect_as(graph, ben, name="Own")
    await connect_as(graph, cleo, name="Cleo’s")
    of_ben = {"ownerId": str(ben.user_id)}

    async def names(viewer: Graph, **filter: Any) -> list[str]:
        found = (await viewer.ask(OWNED, filter=filter))["connections"]
        assert found["totalCount"] == len(found["nodes"])
        return [node["name"] for node in found["nodes"]]

    assert await names(graph, **of_ben) == ["Shared"]
    assert await names(graph, ownerActive=True) == ["Shared"]
    await graph.ask(DEACTIVATE, id=str(ben.user_id))

    assert await names(graph, **of_ben) == ["Own", "Shared"]
    assert await names(graph, ownerActive=False) == ["Own", "Shared"]
    assert await names(graph, ownerActive=False, **of_ben, search="own") == ["Own"]
    for filter in ({"ownerActive": True}, of_ben | {"ownerActive": True}, {"ownerId": "x"}, {"ownerId": str(own.id)}):
        assert await names(graph, **filter) == []
    assert await names(graph) == ["Shared"]
    assert await names(graph.seen_by(cleo), ownerActive=False) == ["Shared"]
    assert await names(graph.seen_by(cleo), **of_ben) == ["Shared"]
    listed = {node["name"]: node for node in (await graph.ask(OWNED, filter=of_ben))["connections"]["nodes"]}
    assert listed["Own"] == {
        "id": str(own.id),
        "name": "Own",
        "status": "CONNECTED",
        "account": None,
        "scopes": [],
        "missingScopes": [],
        "lastVerifiedAt": None,
        "statusReason": None,
        "permissions": [],
        "oauthApp": None,
        "connector": {"key": "sandbox"},
        "owner": {"name": "Ben", "active": False},
        "folder": {"name": "Ben’s workspace", "kind": "PERSONAL", "permissions": [], "access": [], "connections": {"totalCount": 0}},
        "events": {"totalCount": 0},
    }
    assert (listed["Shared"]["account"], listed["Shared"]["id"]) == ("alex", str(shared.id))
    assert await graph.ask("query One($id: ID!) { connection(id: $id) { name } }", id=str(own.id)) == {"connection": None}


async def test_lists_by_owner_stand_beside_each_other(graph_on_both: Graph) -> None:
    graph = graph_on_both
    ben = await graph.here.add_person("Ben")
    one, two = await folder(graph, "One"), await folder(graph, "Two")
    for place in (one, two):
        await allow(graph, place, ben, Permission.every())
        await connect_as(graph, ben, folder_id=place.id, name="Ben’s")
        await graph.here.connect_with_token(folder_id=place.id, name="Ada’s")
    await connect_as(graph, ben, name="Own")
    await graph.ask(DEACTIVATE, id=str(ben.user_id))
    query = ConnectionQuery(owner_active=False)
    reading, ada = graph.here.patchbay.reading, graph.here.ada

    document = """
    query Beside($filter: ConnectionFilter) {
      folders { nodes { name connections(first: 5, filter: $filter) { totalCount nodes { name } } } }
    }
    """
    folders = (await graph.ask(document, filter={"ownerActive": False}))["folders"]["nodes"]
    nowhere = (await graph.ask(document, filter={"ownerId": "x"}))["folders"]["nodes"]
    by_connector = await reading.first_pages(ada, query, Each.CONNECTOR, ["sandbox"], first=5)

    assert {each["name"]: [node["name"] for node in each["connections"]["nodes"]] for each in folders} == {
        "Ada’s workspace": [],
        "One": ["Ben’s"],
        "Two": ["Ben’s"],
    }
    assert {each["connections"]["totalCount"] for each in nowhere} == {0}
    assert sorted((row.name, row.account) for row in by_connector["sandbox"].rows) == [("Ben’s", "alex"), ("Ben’s", "alex"), ("Own", None)]
    assert await reading.counts(ada, query, Each.CONNECTOR, ["sandbox"]) == {"sandbox": 3}


async def test_it_is_handed_over_with_its_id(graph: Graph) -> None:
    ben, cleo = await graph.here.add_person("Ben"), await graph.here.add_person("Cleo")
    own = await connect_as(graph, ben, name="Own")
    await graph.ask(DEACTIVATE, id=str(ben.user_id))
    wish = {"connectionId": str(own.id), "userId": str(cleo.user_id)}

    hidden = (await graph.seen_by(cleo).ask(TRANSFER, input=wish))["transferConnection"]
    done = (await graph.ask(TRANSFER, input=wish))["transferConnection"]
    theirs = (await graph.seen_by(cleo).ask(OWNED))["connections"]["nodes"]
    deleted = "mutation Delete($id: ID!) { deleteConnection(input: {connectionId: $id}) { __typename } }"

    assert hidden["__typename"] == "NotFoundError"
    assert done["connection"] == {
        "id": str(own.id),
        "name": "Own",
        "account": None,
        "owner": {"name": "Cleo"},
        "folder": {"kind": "PERSONAL"},
    }
    assert [(node["id"], node["account"], node["owner"]["name"]) for node in theirs] == [(str(own.id), "alex", "Cleo")]
    assert (await graph.ask(deleted, id=str(own.id)))["deleteConnection"] == {"__typename": "DeleteConnectionSuccess"}
    assert await models.Connection.all().count() == 0


# Moving


async def test_a_connection_is_moved_and_says_why_not(graph: Graph) -> None:
    ben = await graph.here.add_person("Ben")
    old, new = await folder(graph, "Old"), await folder(graph, "New")
    connection = await graph.here.connect_with_token(folder_id=old.id, name="Main")
    await graph.here.connect_with_token(folder_id=new.id, name="Taken")
    other = await graph.here.connect_with_token(folder_id=old.id, name="taken")
    wish = {"connectionId": str(connection.id), "folderId": str(new.id)}
    for place in (old, new):
        await allow(graph, place, ben, Permission.VIEW | Permission.CREATE)

    denied = (await graph.seen_by(ben).ask(MOVE, input=wish))["moveConnection"]
    taken = (await graph.ask(MOVE, input=wish | {"connectionId": str(other.id)}))["moveConnection"]
    nowhere = (await graph.ask(MOVE, input=wish | {"folderId": "x"}))["moveConnection"]
    moved = (await graph.ask(MOVE, input=wish))["moveConnection"]

    assert (denied["__typename"], denied["permission"], denied["folder"]) == ("PermissionDeniedError", "DELETE", {"name": "Old"})
    assert [taken["__typename"], nowhere["__typename"]] == ["NameTakenError", "NotFoundError"]
    assert moved["connection"] == {"id": str(connection.id), "name": "Main", "isDefault": False, "folder": {"name": "New"}}


async def test_who_sees_only_the_folder_that_it_left_learns_that_it_went(graph: Graph) -> None:
    ben = await graph.here.add_person("Ben")
    old, new = await folder(graph, "Old"), await folder(graph, "New")
    await allow(graph, old, ben, Permission.VIEW)
    connection = await graph.here.connect_with_token(folder_id=old.id, name="Main")
    await graph.here.connect_with_token(folder_id=old.id, name="Second")
    await graph.here.patchbay.connections.set_default(graph.here.ada, (await models.Connection.get(name="Second")).id)
    document = """
    subscription Watch { connectionStatusChanged { type connectionName connection { id } folder { name } previousFolder { name } } }
    """

    async with graph.seen_by(ben).watching(document) as theirs, graph.watching(document) as adas:
        waiting = [asyncio.ensure_future(anext(answers)) for answers in (theirs, adas)]
        await settled(graph, 2)
        await graph.ask(MOVE, input={"connectionId": str(connection.id), "folderId": str(new.id)})
        seen = [(await asyncio.wait_for(each, 5))["connectionStatusChanged"] for each in waiting]

    gone = {"type": "MOVED", "connectionName": "Main", "connection": None, "folder": None, "previousFolder": {"name": "Old"}}
    assert seen[0] == gone
    assert seen[1] == gone | {"connection": {"id": str(connection.id)}, "folder": {"name": "New"}}


async def settled(graph: Graph, watchers: int) -> None:
    """Once so many streams have begun."""
    feed = graph.here.patchbay.feed
    async with asyncio.timeout(5):
        while len(feed._subscribers) < watchers:
            await asyncio.sleep(0)
        # Each asks where the log stands before it waits.
        await feed._order.now()
