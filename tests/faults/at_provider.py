"""The provider's process, as the supervisor holds it."""

import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import trustme

from tests.acceptance.processes import Program, running
from tests.faults.provider import Point

_ANSWER_SECONDS = 60


@dataclass(frozen=True, slots=True)
class NewGrant:
    """A grant as a consent would give it."""

    id: str
    refresh_token: str


@dataclass(frozen=True, slots=True)
class KnownGrant:
    """What the provider knows of a grant: the refresh tokens that it would take now, the current one first, and how the grant was used."""

    accepted: tuple[str, ...]
    rotations: int
    overlaps: int
    repeats: int


class AtProvider:
    """`hosts` are its addresses; `authority` is the file of the certificate authority to trust."""

    def __init__(self, hosts: list[str], authority: Path, program: Program, client: httpx2.AsyncClient) -> None:
        self.hosts = hosts
        self.authority = authority
        self._program = program
        self._client = client

    @classmethod
    @asynccontextmanager
    async def started(cls, folder: Path, *, hosts: int) -> AsyncIterator["AtProvider"]:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "authority.pem"))
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "provider.pem"))
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(tls)
        command = (sys.executable, "-m", "tests.faults.provider", str(hosts), folder / "provider.pem")
        async with running(*command, words=folder / "provider") as program:
            addresses = (await program.says(r"ready (.+)"))[1].split()
            url = f"https://{addresses[0]}/admin/"
            async with httpx2.AsyncClient(verify=tls, trust_env=False, timeout=_ANSWER_SECONDS, base_url=url) as client:
                yield cls(addresses, folder / "authority.pem", program, client)

    async def issue(self, count: int) -> list[NewGrant]:
        return [NewGrant(**grant) for grant in await self._ask("grants", count=count)]

    async def truth(self) -> dict[str, KnownGrant]:
        grants = (await self._ask("truth"))["grants"]
        return {id: KnownGrant(**known | {"accepted": tuple(known["accepted"])}) for id, known in grants.items()}

    async def behave(self, **behaviour: Any) -> None:
        await self._ask("behave", **behaviour)

    async def trap(
        self, *pids: int, at: Point = Point.RECEIVED, under_way: int = 10, delay: float = 0.0, deed: signal.Signals = signal.SIGKILL
    ) -> None:
        """Have this done to processes once so many exchanges are under way, when one of them is at that point."""
        answer = await self._ask("trap", pids=pids, signal=deed, point=at, under_way=under_way, delay=delay)
        assert answer["sprung"], f"never {under_way} exchanges were under way"

    async def answer_length(self) -> int:
        """Of how many bytes an answer with tokens is."""
        return int((await self._ask("length"))["length"])

    async def settle(self) -> None:
        """Wait until it has finished whatever it was asked."""
        await self._ask("quiet")

    async def _ask(self, act: str, **given: Any) -> Any:
        answer = await self._client.post(act, json=given)
        assert answer.status_code == 200, answer.text
        return answer.json()
