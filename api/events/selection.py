"""Which events somebody watches."""

from dataclasses import dataclass
from uuid import UUID

import models


@dataclass(frozen=True, slots=True)
class EventSelection:
    """Which events; None: all of them."""

    folder_id: UUID | None = None
    connection_id: UUID | None = None
    connector_key: str | None = None

    def includes(self, event: models.ConnectionEvent) -> bool:
        return (
            self.folder_id in (None, event.folder_id, event.previous_folder_id)
            and self.connection_id in (None, event.connection_id)
            and self.connector_key in (None, event.connector_key)
        )
