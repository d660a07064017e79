"""Which webhooks an event concerns: those of the folder where it happened, and of every folder above that.

Folders do not move, but they are deleted: of one that is gone it is kept where it was, so that its last events still reach who
listens above.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

import models
from api.events.order import EventPosition, PlacedEvent


@dataclass(frozen=True, slots=True)
class Concern:
    """An event that a webhook is told of, and the folders of it that may be named there."""

    webhook: models.Webhook
    placed: PlacedEvent
    sees: set[UUID]


async def concerns(batch: Sequence[PlacedEvent], webhooks: Sequence[models.Webhook] | None = None) -> list[Concern]:
    """Who is told of which of these events, in their order: of those that are enabled, or else of these webhooks."""
    lines = await _lines({place for placed in batch for place in _places(placed)})
    if webhooks is None:
        above = {folder_id for line in lines.values() for folder_id in line}
        webhooks = await models.Webhook.of_folders(list(above), installation=True).filter(disabled_at__isnull=True)
    found = [Concern(webhook, placed, _seen(webhook, placed, lines)) for placed in batch for webhook in webhooks]
    return [each for each in found if each.sees and each.placed.event.type in each.webhook.events]


def is_behind(webhook: models.Webhook, position: EventPosition) -> bool:
    """Whether an event came after the webhook began."""
    return position > EventPosition(webhook.begins_transaction, webhook.begins_id)


def _seen(webhook: models.Webhook, placed: PlacedEvent, lines: dict[UUID, list[UUID]]) -> set[UUID]:
    return {place for place in _places(placed) if webhook.folder_id is None or webhook.folder_id in lines[place]}


def _places(placed: PlacedEvent) -> list[UUID]:
    """Where it happened: for a move both folders."""
    return [place for place in (placed.event.folder_id, placed.event.previous_folder_id) if place is not None]


async def _lines(folder_ids: Collection[UUID]) -> dict[UUID, list[UUID]]:
    """Each of these folders with all above it; as many queries as the tree is deep."""
    parents: dict[UUID, UUID | None] = {}
    wanted = set(folder_ids)
    while wanted:
        parents |= await _parents(wanted)
        wanted = {parent for parent in parents.values() if parent is not None} - parents.keys()
    return {folder_id: _upward(folder_id, parents) for folder_id in folder_ids}


async def _parents(folder_ids: Collection[UUID]) -> dict[UUID, UUID | None]:
    found = {folder.id: folder.parent_id for folder in await models.Folder.filter(id__in=list(folder_ids)).only("id", "parent_id")}
    gone = [folder_id for folder_id in folder_ids if folder_id not in found]
    former = await models.FormerFolder.filter(id__in=gone) if gone else []
    return dict.fromkeys(gone, None) | found | {folder.id: folder.parent_id for folder in former}


def _upward(folder_id: UUID, parents: dict[UUID, UUID | None]) -> list[UUID]:
    line, step = [], folder_id if folder_id in parents else None
    while step is not None:
        line.append(step)
        step = parents[step]
    return line
