"""What many may do, asked at once, is what each of them may do."""

import random
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

import models
from api.access import Access, Actor, Limits
from api.events.seeing import Standing, standing_of_each
from models import FolderKind, Permission
from tests.installation import Installation

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 5, tzinfo=UTC)
SOME = [Permission.VIEW, Permission.VIEW | Permission.USE, Permission.USE, Permission.every()]


async def a_tree(chance: random.Random) -> list[UUID]:
    """Shared folders, some within others."""
    ids: list[UUID] = []
    for number in range(8):
        parent_id = chance.choice([None, *ids])
        name = f"Folder {number}"
        row = await models.Folder.create(name=name, name_key=name.lower(), kind=FolderKind.SHARED, parent_id=parent_id, created_at=NOW)
        ids.append(row.id)
    return ids


async def give(chance: random.Random, folder_ids: list[UUID], user_ids: list[UUID]) -> None:
    """To some by name, and to some with a group."""
    group = await models.Group.create(name="All", name_key="all", created_at=NOW)
    for user_id in chance.sample(user_ids, 3):
        await models.GroupMember.create(group=group, user_id=user_id)
    for folder_id in chance.sample(folder_ids, 5):
        await models.FolderGrant.create(folder_id=folder_id, user_id=chance.choice(user_ids), permissions=chance.choice(SOME))
    await models.FolderGroupGrant.create(folder_id=chance.choice(folder_ids), group=group, permissions=chance.choice(SOME))


def limited(chance: random.Random, actor: Actor, folder_ids: list[UUID]) -> Actor:
    some = frozenset(chance.sample(folder_ids, chance.randint(0, 3))) if chance.random() < 0.7 else None
    return replace(actor, limits=Limits(chance.choice(SOME), some, without_workspace=chance.random() < 0.5))


@pytest.mark.parametrize("seed", range(4))
async def test_many_may_what_each_of_them_may(here: Installation, seed: int) -> None:
    chance = random.Random(seed)
    people = [await here.add_person(f"Person {number}", administrator=number == 0) for number in range(5)]
    tree = await a_tree(chance)
    await give(chance, tree, [person.user_id for person in people])
    workspaces = [(await models.Folder.get(owner_id=person.user_id)).id for person in people]
    actors = [*people, *(limited(chance, person, [*tree, *workspaces]) for person in people for _ in range(2))]
    asked = [*tree, *workspaces, uuid4()]

    found = await standing_of_each(actors, asked, here.clock())

    assert found == {actor: Standing(actor, await Access().permissions(actor, asked)) for actor in actors}


async def test_who_may_not_ask_any_more_is_not_told_of(here: Installation) -> None:
    people = here.patchbay.people
    ben, gone = await here.add_person("Ben"), await here.add_person("Gone")
    new = await people.create_token(here.ada, name="Revoked")
    revoked = await people.actor_of_token(new.token)
    assert revoked is not None
    await people.revoke_token(here.ada, new.row.id)
    await people.deactivate(here.ada, gone.user_id)

    found = await standing_of_each([here.ada, ben, gone, revoked], [here.workspace], here.clock())

    assert found.keys() == {here.ada, ben}


async def test_who_was_an_administrator_is_one_no_more(here: Installation) -> None:
    ben = await here.add_person("Ben", administrator=True)
    folder = await models.Folder.create(name="Sales", name_key="sales", kind=FolderKind.SHARED, created_at=NOW)
    assert (await standing_of_each([ben], [folder.id], here.clock()))[ben].allowed == {folder.id: Permission.every()}

    await models.User.filter(id=ben.user_id).update(administrator=False)

    assert (await standing_of_each([ben], [folder.id], here.clock()))[ben] == Standing(replace(ben, administrator=False), {})


async def test_of_no_folder_nobody_may_anything(here: Installation) -> None:
    assert await standing_of_each([here.ada], [], here.clock()) == {here.ada: Standing(here.ada, {})}
    assert await standing_of_each([], [here.workspace], here.clock()) == {}
