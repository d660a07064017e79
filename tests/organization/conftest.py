from dataclasses import dataclass
from uuid import UUID

import pytest

import models
from api.access import Access, Actor
from api.audit import Audit
from api.catalog.catalog import Catalog
from api.events.log import EventLog
from api.events.wakeup import Wakeup
from api.organization.directory import Directory
from api.organization.folders import Folders
from api.organization.groups import Groups
from api.organization.people import People
from api.organization.suspensions import Suspensions
from models import FolderKind
from models.database import Database
from tests.clock import HeldClock


@dataclass(frozen=True)
class Organization:
    """Who is there, and where: Ada, an administrator, and Ben."""

    access: Access
    people: People
    folders: Folders
    groups: Groups
    directory: Directory
    clock: HeldClock
    ada: Actor
    ben: Actor

    async def workspace(self, actor: Actor) -> UUID:
        return (await models.Folder.get(owner_id=actor.user_id, kind=FolderKind.PERSONAL)).id


@pytest.fixture
async def organization(database: Database) -> Organization:
    clock, access = HeldClock(), Access()
    audit, log = Audit(clock), EventLog(clock, Wakeup())
    people = People(access=access, log=log, audit=audit, clock=clock)
    ada = await people.add_user(name="Ada", email="ada@example.com", administrator=True)
    ben = await people.add_user(name="Ben", email="ben@example.com")
    folders = Folders(access, clock, audit=audit)
    return Organization(
        access=access,
        people=people,
        folders=folders,
        groups=Groups(access=access, suspensions=Suspensions(catalog=Catalog([]), log=log, clock=clock), audit=audit, clock=clock),
        directory=Directory(access, folders),
        clock=clock,
        ada=Actor(ada.id, ada.name, administrator=True),
        ben=Actor(ben.id, ben.name),
    )
