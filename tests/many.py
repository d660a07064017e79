"""Connections by the thousand, as rows: nothing was asked of a provider for them."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import models
from models import AuthenticationType, ConnectionStatus, FolderKind

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


async def a_folder(now: datetime = NOW) -> models.Folder:
    user = await models.User.create(id=uuid4(), name="Ada", created_at=now)
    return await models.Folder.create(id=uuid4(), name="Many", name_key="many", kind=FolderKind.PERSONAL, owner_id=user.id, created_at=now)


def a_connection(folder: models.Folder, number: int, **columns: Any) -> models.Connection:
    name = f"Connection {number}"
    given: dict[str, Any] = {
        "id": UUID(int=number + 1),
        "folder_id": folder.id,
        "owner_id": folder.owner_id,
        "connector_key": "acme",
        "name": name,
        "name_key": name.lower(),
        "authentication_type": AuthenticationType.OAUTH2_AUTHORIZATION_CODE,
        "option_key": "consent",
        "status": ConnectionStatus.CONNECTED,
        "status_changed_at": NOW,
        "created_at": NOW,
        "updated_at": NOW,
        "renewable": True,
    }
    return models.Connection(**(given | columns))


async def add(connections: Iterable[models.Connection]) -> None:
    for some in _some(list(connections)):
        await models.Connection.bulk_create(some)


def _some(connections: list[models.Connection]) -> Iterator[list[models.Connection]]:
    for start in range(0, len(connections), 500):
        yield connections[start : start + 500]
