"""What Strawberry answers with, stock and tuned: plain types."""

from datetime import datetime

import strawberry


@strawberry.type
class Connector:
    key: str
    name: str


@strawberry.type
class Folder:
    id: strawberry.ID
    name: str


@strawberry.type
class ConnectionAlone:
    """Without what it belongs to."""

    id: strawberry.ID
    name: str
    status: str
    status_changed_at: datetime
    is_default: bool
    account: str | None
    scopes: list[str]
    expires_at: datetime | None
    next_refresh_at: datetime | None
    last_refreshed_at: datetime | None
    created_at: datetime
    updated_at: datetime


@strawberry.type
class PageInfo:
    has_next_page: bool
