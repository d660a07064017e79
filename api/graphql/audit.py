"""The audit log, as administrators see it."""

from datetime import datetime
from typing import Annotated

import strawberry

import models
from api.graphql.context import Info
from api.graphql.folders import Folder, find_folder
from api.graphql.ids import find_id, graph_id
from api.graphql.page import After, Cursors, First, Page, checked_first, page_of
from api.graphql.users import User
from api.organization.audit_log import AuditSelection

_LONGEST = 64


@strawberry.type(description="Who did what, or tried to, and what came of it. It outlives everything that it speaks of.")
class AuditEntry:
    row: strawberry.Private[models.AuditEntry]
    id: strawberry.ID = strawberry.field(description="Names the entry for good; later entries have greater numbers.")
    at: datetime = strawberry.field(description="When.")
    action: str = strawberry.field(description="What: a noun and a verb, such as `connection.rename`.")
    outcome: str = strawberry.field(
        description="DONE; REFUSED where it was not allowed or not to be seen; FAILED where it came to nothing."
    )
    actor_name: str | None = strawberry.field(description="What whoever did it was called then; null where nobody was signed in.")
    source: str | None = strawberry.field(description="The address that it came from.")
    token_id: strawberry.ID | None = strawberry.field(description="The API token that it came with.")
    subject_id: strawberry.ID | None = strawberry.field(description="The id of what it was done to.")
    subject_name: str | None = strawberry.field(description="What that was called then.")
    detail: str | None = strawberry.field(description="What there is to say besides; never a secret.")

    @classmethod
    def of(cls, row: models.AuditEntry) -> "AuditEntry":
        return cls(
            row=row,
            id=graph_id(row.id),
            at=row.at,
            action=row.action,
            outcome=row.outcome.value,
            actor_name=row.actor_name,
            source=row.source,
            token_id=None if row.token_id is None else graph_id(row.token_id),
            subject_id=None if row.subject_id is None else graph_id(row.subject_id),
            subject_name=row.subject_name,
            detail=row.detail,
        )

    @strawberry.field(description="Who did it; null where nobody was signed in, where Patchbay did it, or where that user is gone.")
    async def actor(self, info: Info) -> User | None:
        row = None if self.row.actor_id is None else await info.context.loaders.user.load(self.row.actor_id)
        return None if row is None else User.of(row, info)

    @strawberry.field(description="The folder that it happened in; null where it happened in none, or where that is hidden or gone.")
    async def folder(self, info: Info) -> Folder | None:
        return await find_folder(self.row.folder_id, info)


@strawberry.input(description="Which entries. What is left out does not matter.")
class AuditFilter:
    actor_id: strawberry.ID | None = strawberry.field(default=None, description="By this user.")
    action: str | None = strawberry.field(default=None, description="Exactly this action, such as `connection.rename`.")
    subject_id: strawberry.ID | None = strawberry.field(default=None, description="Done to what has this id.")
    since: datetime | None = strawberry.field(default=None, description="From this moment on.")
    until: datetime | None = strawberry.field(default=None, description="Before this moment.")


@strawberry.type
class AuditQuery:
    @strawberry.field(description="Who did what, newest first. Administrators only.")
    async def audit_log(
        self,
        info: Info,
        first: First = 50,
        after: After = None,
        filter: Annotated[AuditFilter | None, strawberry.argument(description="Only entries that match all of it.")] = None,
    ) -> Page[AuditEntry]:
        selection, actor = _selection(filter or AuditFilter()), info.context.actor
        cursors = Cursors(info.context, "audit", str(selection))
        log = info.context.patchbay.audit_log
        found, has_next = await log.page(actor, selection, first=checked_first(first), before=cursors.read(after))
        cursor = cursors.write(found[-1].id) if found else None
        nodes = [AuditEntry.of(row) for row in found]
        return page_of(nodes, cursor=cursor, has_next=has_next, count=lambda: log.count(actor, selection))


def _selection(wanted: AuditFilter) -> AuditSelection:
    actor_id = find_id(wanted.actor_id)
    too_long = any(text is not None and len(text) > _LONGEST for text in (wanted.action, wanted.subject_id))
    return AuditSelection(
        actor_id=actor_id,
        action=wanted.action,
        subject_id=wanted.subject_id,
        since=wanted.since,
        until=wanted.until,
        nothing=too_long or (wanted.actor_id is not None and actor_id is None),
    )
