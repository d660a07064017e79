"""The command line for keys: made, looked at, and rotated while servers run."""

import asyncio
import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path

import click

from api.clock import utc_now
from api.master_keys import master_keys
from api.patchbay import Patchbay
from api.reaching import require_current_database, with_patchbay
from api.refusing import refusing
from api.settings import Settings
from api.vault.following import RingFollower
from api.vault.keys import MasterKeys, create_key_file, generate_key_text
from api.vault.rotation import Rotation
from api.vault.status import KeyStatus, MasterKeyStatus, VaultKeyStatus, key_status
from models import CryptoKeyPurpose
from models.database import open_database

_KEY_HEADS = ("KEY", "PURPOSE", "STATE", "WRAPPED BY", "CREATED", "SEALINGS", "VALUES", "SERVERS")


@click.group()
def keys() -> None:
    """Master keys, and the keys of the database that they wrap."""


@keys.command()
@click.option("--id", "key_id", default="k1", show_default=True, help="The key's name, to tell it from later ones.")
@click.option("--file", "path", type=click.Path(path_type=Path), help="Write it to this new file with mode 0600; else it is printed.")
@refusing
def generate(key_id: str, path: Path | None) -> None:
    """Make a new master key."""
    if path is None:
        click.echo(generate_key_text(key_id))
        return
    create_key_file(path, key_id)
    click.echo(f"Made a master key in {path}.")


@keys.command()
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@refusing
def status(as_json: bool) -> None:
    """Show every key, what lies under it, which servers have it, and what to do next. Opens no key."""
    settings = _settings()

    async def run() -> KeyStatus:
        await require_current_database(settings)
        async with open_database(settings.database_url.reveal()):
            return await key_status(master_keys(settings), utc_now())

    found = asyncio.run(run())
    click.echo(json.dumps(dataclasses.asdict(found), default=str, indent=2) if as_json else _as_text(found))


@keys.command()
@click.option("--now", is_flag=True, help="Wait for no server: one without the new key then leaves alone what it seals.")
@click.option("--resume", is_flag=True, help="Only finish a rotation that was begun.")
@refusing
def rotate(now: bool, resume: bool) -> None:
    """Let a new data key take over, and seal everything anew with it, while servers run. May be cut off and run again."""

    async def act(patchbay: Patchbay) -> None:
        await _rotation(patchbay).rotate(waits=not now, begins=not resume)

    with_patchbay(_settings(), act)


@keys.command()
@refusing
def rewrap() -> None:
    """Wrap every key of the database by the primary master key, so that the others are no longer needed."""

    async def act(patchbay: Patchbay) -> None:
        primary = master_keys(patchbay.settings).primary
        count = await _rotation(patchbay).rewrap()
        click.echo(f"Wrapped {count} keys by the master key {primary.id}.")
        click.echo("\n".join((await key_status(master_keys(patchbay.settings), utc_now())).advice))

    with_patchbay(_settings(), act)


def _settings() -> Settings:
    return Settings.from_environment(os.environ)


def _rotation(patchbay: Patchbay) -> Rotation:
    def given() -> MasterKeys:
        return master_keys(patchbay.settings)

    return Rotation(patchbay.vault, RingFollower(patchbay.vault, given), given(), patchbay.clock, click.echo)


def _as_text(found: KeyStatus) -> str:
    parts = [
        _table(("MASTER KEY", "FINGERPRINT", "WRAPS", "GIVEN HERE"), [_of_master_key(key) for key in found.master_keys]),
        _table(
            ("KEY", "PURPOSE", "STATE", "WRAPPED BY", "CREATED", "SEALINGS", "VALUES", "SERVERS"), [_of_key(k, found) for k in found.keys]
        ),
        "Servers: " + (", ".join(found.servers) or "none"),
        "\n".join(found.advice),
    ]
    return "\n\n".join(parts)


def _of_master_key(key: MasterKeyStatus) -> tuple[str, ...]:
    given = f"{key.given}, primary" if key.is_primary else str(key.given)
    return key.id, key.fingerprint or "", str(key.wraps), given


def _of_key(key: VaultKeyStatus, found: KeyStatus) -> tuple[str, ...]:
    created = f"{key.created_at:%Y-%m-%d %H:%M}"
    if key.purpose is not CryptoKeyPurpose.DATA:
        return str(key.id), key.purpose, key.state, key.master_key, created, "", "", ""
    servers = f"{len(key.servers)} of {len(found.servers)}"
    return str(key.id), key.purpose, key.state, key.master_key, created, str(key.sealings), str(key.values), servers


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in [heads, *lines])
