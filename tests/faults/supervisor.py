"""Patchbay under fire: an installation whose servers are real processes, started and killed at will, beside a strict provider."""

import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from api.settings import Settings
from api.vault.keys import generate_key_text
from models.database import migrate
from tests.acceptance.processes import Program, free_port, running
from tests.faults.at_provider import AtProvider
from tests.faults.databases import CampaignDatabase
from tests.faults.records import Records
from tests.faults.tokens import GRACE_SECONDS, Mode

_CONNECTOR = Path(__file__).parent / "connectors" / "strict.toml"
# Patchbay limits its requests by host: with three there are ten under way at once, whatever the limit.
HOSTS = 3
_READY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Terms:
    """Under what a fault is tried. None: as the fault itself has it."""

    database: CampaignDatabase
    trials: int
    courier: str | None = None
    # A quick look: with fewer connections, and the end of every lease is moved to now instead of waited for.
    hurry: bool = False


@dataclass(frozen=True, slots=True)
class Installation:
    """One Patchbay: its data folder, its settings, and the provider that its connections are at."""

    folder: Path
    environment: dict[str, str]
    provider: AtProvider
    _starts: "count[int]" = field(default_factory=count)

    @property
    def settings(self) -> Settings:
        return Settings.from_environment(self.environment)

    @property
    def connectors(self) -> list[str]:
        return [f"strict-{number}" for number in range(HOSTS)]

    def records(self) -> AbstractAsyncContextManager[Records]:
        """What it holds; to be opened while no server runs."""
        return Records.opened(self.settings)

    @asynccontextmanager
    async def serving(self, **environment: str) -> AsyncIterator[Program]:
        """A server of it, once it is ready. In the end it is stopped in order, if it still runs."""
        words = self.folder / f"server-{next(self._starts)}"
        command = (sys.executable, "-m", "api", "serve")
        async with running(*command, words=words, environment=self.environment | environment) as program:
            await program.says("Patchbay is ready", within=_READY_SECONDS)
            yield program

    def courier_pid(self) -> int | None:
        """The process that carries exchanges beside the server; None where there is none."""
        file = self.folder / "data" / "courier" / "pid"
        return int(file.read_text()) if file.exists() else None

    def end_courier(self) -> None:
        """It outlives servers, and must not outlive the campaign."""
        pid = self.courier_pid()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@asynccontextmanager
async def installed(folder: Path, terms: Terms, mode: Mode, **environment: str) -> AsyncIterator[Installation]:
    """A migrated Patchbay with an owner and an app for each host of the provider, and without connections."""
    (folder / "data").mkdir(exist_ok=True)
    async with AtProvider.started(folder, hosts=HOSTS) as provider:
        await provider.behave(mode=mode)
        here = Installation(folder, _environment(folder, terms, provider, mode) | environment, provider)
        await migrate(terms.database.url)
        async with here.records() as records:
            await records.register_apps(here.connectors)
            await records.add_owner()
        try:
            yield here
        finally:
            here.end_courier()


def _environment(folder: Path, terms: Terms, provider: AtProvider, mode: Mode) -> dict[str, str]:
    given = {
        "PATCHBAY_DATA_FOLDER": str(folder / "data"),
        "PATCHBAY_DATABASE_URL": terms.database.url,
        "PATCHBAY_PORT": str(free_port()),
        "PATCHBAY_KEYS": generate_key_text(),
        "PATCHBAY_SANDBOX": "off",
        "PATCHBAY_CONNECTORS_FOLDER": str(_connectors(folder, provider, mode)),
        "PATCHBAY_EGRESS_ALLOW": ",".join(provider.hosts),
        "PATCHBAY_EGRESS_CA_FILE": str(provider.authority),
        "PATCHBAY_REFRESH_SCHEDULE": "* * * * * *",
        # Few more than are killed under way: what is claimed at the kill is left alone until its lease ends.
        "PATCHBAY_REFRESH_CONCURRENCY": "16",
    }
    return given if terms.courier is None else given | {"PATCHBAY_COURIER": terms.courier}


def _connectors(folder: Path, provider: AtProvider, mode: Mode) -> Path:
    """A folder with a connector for each host of the provider."""
    connectors = folder / "connectors"
    connectors.mkdir()
    reuse = f'reuse_window = "{GRACE_SECONDS:.0f} seconds"' if mode is Mode.GRACE else ""
    for number, host in enumerate(provider.hosts):
        text = _CONNECTOR.read_text().replace("HOST", host).replace("NUMBER", str(number)).replace("REUSE", reuse)
        (connectors / f"strict-{number}.toml").write_text(text)
    return connectors
