from dataclasses import dataclass
from uuid import UUID

import pytest

import models
from api.access import Access, Actor
from api.organization.folders import Folders
from api.organization.people import People
from models import FolderKind
from models.database import Database
from tests.clock import HeldClock


@dataclass(frozen=True)
class Organization:
    """Who is there, and where: Ada, an administrator, and Ben."""

    access: Access
    people: People
    folders: Folders
    clock: HeldClock
    ada: Actor
    ben: Actor

    async def workspace(self, actor: Actor) -> UUID:
        return (await models.Folder.get(owner_id=actor.user_id, kind=FolderKind.PERSONAL)).id


@pytest.fixture
async def organization(database: Database) -> Organization:
    clock, access = HeldClock(), Access()
    people = People(clock)
    ada = await people.add_user(name="Ada", email="ada@example.com", administrator=True)
    ben = await people.add_user(name="Ben", email="ben@example.com")
    return Organization(access, people, Folders(access, clock), clock, Actor(ada.id, ada.name, administrator=True), Actor(ben.id, ben.name))
