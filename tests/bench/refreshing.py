"""Background refreshes a second, beside bare aiohttp that asks the same token endpoint as fast as it can and keeps nothing."""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import trustme

from api.vault.keys import generate_key_text
from tests.acceptance.processes import PROJECT, clean_environment
from tests.bench.refresh_sides import Order, Round
from tests.bench.rows import Options, Spread
from tests.faults.databases import Kind, database

# Connectors from files go by https, but for one that is beside the sandbox.
_CONNECTOR = """
requires = ["sandbox_url"]

name = "Refreshed"
category = "dev"
base_url = "https://api.measured.example/v1"

[consent]
label = "Sign in"
authorize_url = "https://measured.example/authorize"
token_url = "{sandbox_url}/token"
client_authentication = "client_secret_basic"
proof = "none"
scopes = [{ name = "read" }, { name = "write" }]

# Of a provider whose refresh tokens are over once they are used, a host gets four at once.
[consent.refresh]
rotates = false
"""
_SIDES = ("patchbay", "aiohttp")
# As many as there are renewed in a round, at the most.
_RENEWED = 5_000


@dataclass(frozen=True, slots=True)
class Provider:
    """What stands in for the provider: how long it takes, and whether each refresh needs a new TLS connection."""

    name: str
    milliseconds: int = 0
    in_flight: int = 256
    is_tls: bool = False


PROVIDERS = (
    Provider("at once"),
    Provider("after 100 ms", milliseconds=100, in_flight=1000),
    Provider("new TLS", in_flight=64, is_tls=True),
)


@dataclass(frozen=True, slots=True)
class Refreshes:
    """One side at one provider, over all rounds."""

    heading: ClassVar[str] = ""

    work: str
    provider: str
    database: str
    side: str
    rounds: int
    count: int
    in_flight: int
    per_second: Spread
    # A refresh, of the process itself and of the courier beside it.
    processor_microseconds: Spread
    courier_microseconds: Spread
    # Patchbay measured by this side, round by round.
    patchbay_by_rate: Spread
    patchbay_by_processor: Spread

    def __str__(self) -> str:
        courier = f" + courier {self.courier_microseconds.median:.0f}" if self.side == "patchbay" else ""
        ratios = (
            ""
            if self.side == "patchbay"
            else f"  Patchbay by rate {self.patchbay_by_rate.told(2)}, by processor " + self.patchbay_by_processor.told(2)
        )
        return (
            f"{self.work:10}  {self.database:10}  {self.in_flight:5} in flight  {self.provider:12}  {self.side:8}  "
            f"{self.per_second.told(0)}/s  processor {self.processor_microseconds.told(0)}{courier} µs{ratios}"
        )


async def measure_all_refreshes(options: Options) -> AsyncIterator[Refreshes]:
    """`measure_refreshes` on each of these databases."""
    for kind in options.kinds:
        async for refreshes in measure_refreshes(kind, rounds=options.rounds, count=min(options.connections, _RENEWED)):
            yield refreshes


async def measure_refreshes(
    kind: Kind, *, rounds: int, count: int, providers: Sequence[Provider] = PROVIDERS, **environment: str
) -> AsyncIterator[Refreshes]:
    """Both sides at each of these providers, by turns. `environment` changes what Patchbay is opened with."""
    for provider in providers:
        with tempfile.TemporaryDirectory(prefix="patchbay-bench-") as name:
            folder = Path(name)
            ca_file, certificate = _certificates(folder) if provider.is_tls else (None, None)
            async with database(kind, folder) as where, _endpoint(provider, certificate) as url, AsyncExitStack() as stack:
                own = _environment(folder, where.url, url, ca_file, provider) | environment
                orders = [Order(side, url, count, provider.in_flight, own, ca_file) for side in _SIDES]
                sides = [await stack.enter_async_context(_started(order, folder)) for order in orders]
                found: dict[str, list[Round]] = {side: [] for side in _SIDES}
                for number in range(rounds + 1):
                    for side, process in zip(_SIDES, sides, strict=True):
                        came = await _round(process)
                        # The first warms up.
                        found[side] += [came] if number else []
            for side in _SIDES:
                yield _row(provider, kind, side, count, found)


def _certificates(folder: Path) -> tuple[str, str]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    return str(folder / "ca.pem"), str(folder / "server.pem")


def _environment(folder: Path, database_url: str, url: str, ca_file: str | None, provider: Provider) -> dict[str, str]:
    (folder / "connectors").mkdir()
    (folder / "connectors" / "refreshed.toml").write_text(_CONNECTOR)
    (folder / "data").mkdir(exist_ok=True)
    most = str(min(provider.in_flight, 1000))
    return {
        "PATCHBAY_DATA_FOLDER": str(folder / "data"),
        "PATCHBAY_DATABASE_URL": database_url,
        "PATCHBAY_KEYS": generate_key_text(),
        "PATCHBAY_CONNECTORS_FOLDER": str(folder / "connectors"),
        "PATCHBAY_SANDBOX": "on",
        "PATCHBAY_PUBLIC_URL": url,
        "PATCHBAY_REFRESH_CONCURRENCY": most,
        "PATCHBAY_PROVIDER_CONCURRENCY": most,
        "PATCHBAY_PROVIDER_RATE": "10000",
    } | ({} if ca_file is None else {"PATCHBAY_EGRESS_CA_FILE": ca_file})


@asynccontextmanager
async def _process(module: str, *arguments: str, words: Path | None = None) -> AsyncIterator[asyncio.subprocess.Process]:
    """What it says on standard error goes into a file, so that it never waits for a reader."""
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-m", f"tests.bench.{module}", *arguments]
    with (words or Path(os.devnull)).open("ab") as said:
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=said, cwd=PROJECT, env=clean_environment())
    assert process.stdin is not None
    try:
        yield process
    finally:
        process.stdin.close()
        if module == "token_server":
            process.terminate()
        await process.wait()


@asynccontextmanager
async def _endpoint(provider: Provider, certificate: str | None) -> AsyncIterator[str]:
    arguments = [str(provider.milliseconds), "1" if provider.is_tls else "0", *([certificate] if certificate else [])]
    async with _process("token_server", *arguments) as process:
        port = int(await _line(process))
        yield f"{'https' if provider.is_tls else 'http'}://127.0.0.1:{port}"


@asynccontextmanager
async def _started(order: Order, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    words = folder / f"{order.side}.err"
    try:
        async with _process("refresh_sides", words=words) as process:
            await _say(process, json.dumps(asdict(order)))
            await _line(process)
            yield process
    except EOFError as error:
        raise RuntimeError(f"{order.side} came to an end:\n{words.read_text()[-3000:]}") from error


async def _round(process: asyncio.subprocess.Process) -> Round:
    await _say(process, "")
    return Round(**json.loads(await _line(process)))


async def _say(process: asyncio.subprocess.Process, line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n".encode())
    await process.stdin.drain()


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise EOFError
    return line.decode()


def _row(provider: Provider, kind: Kind, side: str, count: int, found: dict[str, list[Round]]) -> Refreshes:
    mine, pairs = found[side], list(zip(found["patchbay"], found[side], strict=True))
    return Refreshes(
        work="refresh",
        provider=provider.name,
        database=kind,
        side=side,
        rounds=len(mine),
        count=count,
        in_flight=provider.in_flight,
        per_second=Spread.of([count / each.seconds for each in mine]),
        processor_microseconds=Spread.of([1e6 * each.processor_seconds / count for each in mine]),
        courier_microseconds=Spread.of([1e6 * each.courier_seconds / count for each in mine]),
        patchbay_by_rate=Spread.of([other.seconds / one.seconds for one, other in pairs]),
        patchbay_by_processor=Spread.of([other.processor_seconds / one.processor_seconds for one, other in pairs]),
    )
