"""Which webhooks an event concerns: those of the folder where it happened, and of every folder above that.

One of no folder is told of all shared folders, and of no workspace: what is in there is its owner's to see, and an administrator's never.

Folders do not move, but they are deleted: of one that is gone it is kept where it was, so that its last events still reach who
listens above.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

import models
from api.events.order import EventPosition, PlacedEvent
from models import FolderKind


@dataclass(frozen=True, slots=True)
class Concern:
    """An event that a webhook is told of, and the folders of it that may be named there."""

    webhook: models.Webhook
    placed: PlacedEvent
    sees: set[UUID]


async def concerns(batch: Sequence[PlacedEvent], webhooks: Sequence[models.Webhook] | None = None) -> list[Concern]:
    """Who is told of which of these events, in their order: of those that are enabled, or else of these webhooks."""
    tree = await _tree({place for placed in batch for place in _places(placed)})
    if webhooks is None:
        above = {folder_id for line in tree.lines.values() for folder_id in line}
        webhooks = await models.Webhook.of_folders(list(above), installation=True).filter(disabled_at__isnull=True)
    found = [Concern(webhook, placed, _seen(webhook, placed, tree)) for placed in batch for webhook in webhooks]
    return [each for each in found if each.sees and each.placed.event.type in each.webhook.events]


def is_behind(webhook: models.Webhook, position: EventPosition) -> bool:
    """Whether an event came after the webhook began."""
    return position > EventPosition(webhook.begins_transaction, webhook.begins_id)


@dataclass(frozen=True, slots=True)
class _Tree:
    """Folders, each with all above it; and which of them are workspaces."""

    lines: dict[UUID, list[UUID]]
    workspaces: set[UUID]

    def is_covered(self, place: UUID, webhook: models.Webhook) -> bool:
        return place not in self.workspaces if webhook.folder_id is None else webhook.folder_id in self.lines[place]


def _seen(webhook: models.Webhook, placed: PlacedEvent, tree: _Tree) -> set[UUID]:
    return {place for place in _places(placed) if tree.is_covered(place, webhook)}


def _places(placed: PlacedEvent) -> list[UUID]:
    """Where it happened: for a move both folders."""
    return [place for place in (placed.event.folder_id, placed.event.previous_folder_id) if place is not None]


async def _tree(folder_ids: Collection[UUID]) -> _Tree:
    """Of these folders; as many queries as they are deep."""
    parents: dict[UUID, UUID | None] = {}
    workspaces: set[UUID] = set()
    wanted = set(folder_ids)
    while wanted:
        found = await models.Folder.filter(id__in=list(wanted)).only("id", "parent_id", "kind")
        workspaces |= {folder.id for folder in found if folder.kind is FolderKind.PERSONAL}
        parents |= {folder.id: folder.parent_id for folder in found}
        parents |= await _former_parents(wanted - parents.keys())
        wanted = {parent for parent in parents.values() if parent is not None} - parents.keys()
    return _Tree({folder_id: _upward(folder_id, parents) for folder_id in folder_ids}, workspaces)


async def _former_parents(gone: Collection[UUID]) -> dict[UUID, UUID | None]:
    former = await models.FormerFolder.filter(id__in=list(gone)) if gone else []
    return dict.fromkeys(gone, None) | {folder.id: folder.parent_id for folder in former}


def _upward(folder_id: UUID, parents: dict[UUID, UUID | None]) -> list[UUID]:
    line, step = [], folder_id if folder_id in parents else None
    while step is not None:
        line.append(step)
        step = parents[step]
    return line
