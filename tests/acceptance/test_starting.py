"""What a process imports: no start waits for what it does not need, nor keeps it in memory."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from api.master_keys import key_file
from api.opening import open_patchbay
from api.settings import Settings
from api.vault.keys import create_key_file
from models.database import migrate
from tests.acceptance.asking import Api
from tests.acceptance.processes import Program, free_port, running, until

pytestmark = pytest.mark.anyio

# What calls the outside, speaks OAuth, writes pages and reads documents: needed by who does that, and from then on.
BY_USE = {
    "aiohttp",
    "api.catalog.descriptions.reading",
    "api.sandbox.app",
    "authlib",
    "botocore",
    "cryptography.hazmat.primitives.serialization",
    "jinja2",
    "joserfc",
    "yaml",
}
DOORS = {"strawberry", "graphql", "starlette", "uvicorn"}
DATABASE = {"models", "tortoise"}


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    return {
        "PATCHBAY_DATA_FOLDER": str(tmp_path / "data"),
        "PATCHBAY_PORT": str(free_port()),
        "PATCHBAY_SANDBOX": "off",
        "PATCHBAY_COURIER": "off",
        # Every import is told on standard error.
        "PYTHONPROFILEIMPORTTIME": "1",
    }


def imported(program: Program) -> set[str]:
    return set(re.findall(r"^import time:[^|]*\|[^|]*\| +(\S+)$", program.log, re.MULTILINE))


async def token_of_ada(settings: dict[str, str]) -> str:
    given = Settings.from_environment(settings)
    given.data_folder.mkdir()
    create_key_file(key_file(given))
    await migrate(given.database_url.reveal())
    async with open_patchbay(given, serves=False, refreshes=False) as patchbay:
        user = await patchbay.people.add_user(name="Ada")
        return (await patchbay.people.add_token(user.id, name="tests")).token.reveal()


async def test_a_server_that_answers_has_imported_nothing_that_only_some_uses_need(settings: dict[str, str], tmp_path: Path) -> None:
    token = await token_of_ada(settings)

    async with running(sys.executable, "-m", "api", "serve", words=tmp_path / "serve", environment=settings) as server:
        await server.says(r"Ctrl\+C\n")
        async with Api.opened(f"http://127.0.0.1:{settings['PATCHBAY_PORT']}/graphql", token) as api:
            answer = await api.ask(
                "{ connections { nodes { id connector { name } folder { name } } } connectors(first: 1) { nodes { key } } }"
            )

    assert answer["connections"]["nodes"] == []
    assert imported(server) >= DOORS | DATABASE
    assert imported(server) & BY_USE == set()


@pytest.mark.parametrize(
    ("command", "needless"),
    [
        (["--help"], DOORS | DATABASE | BY_USE),
        (["refresh", "--help"], DOORS | BY_USE),
        (["keys", "generate"], DOORS | BY_USE),
    ],
    ids=["help", "refresh", "keys"],
)
async def test_a_command_imports_only_its_own(command: Sequence[str], needless: set[str], settings: dict[str, str], tmp_path: Path) -> None:
    async with running(sys.executable, "-m", "api", *command, words=tmp_path / "command", environment=settings) as program:
        assert await program.ended(within=20) == 0, program.log[-3000:]

    assert "api.cli" in imported(program)
    assert imported(program) & needless == set()


async def test_the_courier_imports_next_to_nothing(settings: dict[str, str], tmp_path: Path) -> None:
    async with running(sys.executable, "-m", "api.courier", tmp_path, words=tmp_path / "courier", environment=settings) as courier:

        async def look() -> bool:
            assert courier.runs, courier.log[-3000:]
            return (tmp_path / "log").exists() and "courier ready" in (tmp_path / "log").read_text()

        await until(look)

    assert "api.courier.process" in imported(courier)
    assert imported(courier) & (DOORS | DATABASE | BY_USE) == set()
