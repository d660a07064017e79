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

from api.secret import Secret
from api.settings import Settings
from api.vault.keys import generate_key_text
from models.database import migrate
from tests.acceptance.processes import Program, free_port, running
from tests.faults.at_provider import AtProvider
from tests.faults.databases import CampaignDatabase
from tests.faults.records import Records
from tests.faults.tokens import GRACE_SECONDS, Mode

_CONNECTOR = Path(__file__).parent / "connectors" / "strict.toml"
# Patchbay sends a strict host four requests at once: with four hosts there are ten under way.
HOSTS = 4
CONNECTORS = [f"strict-{number}" for number in range(HOSTS)]
_READY_SECONDS = 60
# Attempts that are under way have their time.
_STOP_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Terms:
    """Under what a fault is tried. None: as the fault itself has it."""

    database: CampaignDatabase
    trials: int
    courier: str | None = None
    # How many connections; None: as many as the fault needs.
    connections: int | None = None
    # For a quick look: the end of every lease is moved to now instead of waited for.
    hurry: bool = False


@dataclass(frozen=True, slots=True)
class Installation:
    """One Patchbay: its folder, the settings of its first replica, the provider of its connections, and its owner's API token."""

    folder: Path
    environment: dict[str, str]
    provider: AtProvider
    token: Secret
    _starts: "count[int]" = field(default_factory=count)

    @property
    def settings(self) -> Settings:
        return Settings.from_environment(self.environment)

    @property
    def url(self) -> str:
        """Where the first replica is asked."""
        return self.settings.public_url

    async def connect(self, count: int) -> None:
        """So many connections, all of them due."""
        async with self.records() as records:
            await records.connect(CONNECTORS, await self.provider.issue(count))

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
            await program.stop(within=_STOP_SECONDS)

    def replica(self, number: int) -> dict[str, str]:
        """What a further replica has of its own, on the same database."""
        data = self.folder / f"data-{number}"
        data.mkdir(exist_ok=True)
        return {"PATCHBAY_DATA_FOLDER": str(data), "PATCHBAY_PORT": str(free_port())}

    def courier_pid(self) -> int | None:
        """The process that carries exchanges beside the first replica; None where there is none."""
        file = self.folder / "data" / "courier" / "pid"
        return int(file.read_text()) if file.exists() else None

    def end_couriers(self) -> None:
        """They outlive servers, and must not outlive the campaign."""
        for file in self.folder.glob("data*/courier/pid"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(file.read_text()), signal.SIGKILL)


@asynccontextmanager
async def installed(folder: Path, terms: Terms, mode: Mode, **environment: str) -> AsyncIterator[Installation]:
    """A migrated Patchbay with an owner and an app for each host of the provider, and without connections."""
    (folder / "data").mkdir(exist_ok=True)
    async with AtProvider.started(folder, hosts=HOSTS) as provider:
        await provider.behave(mode=mode)
        given = _environment(folder, terms, provider, mode) | environment
        await migrate(terms.database.url)
        async with Records.opened(Settings.from_environment(given)) as records:
            await records.register_apps(CONNECTORS)
            token = await records.add_owner()
        here = Installation(folder, given, provider, token)
        try:
            yield here
        finally:
            here.end_couriers()


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
