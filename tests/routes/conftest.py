import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.routes.site import Site, open_site, served


@pytest.fixture
async def site(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    """Patchbay's pages, called in process."""
    async with open_site(sqlite_url, tmp_path, "http://127.0.0.1:8000") as site:
        yield site


@pytest.fixture
async def secure_site(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    """As `site`, at an https address."""
    async with open_site(sqlite_url, tmp_path, "https://patchbay.example") as site:
        yield site


@pytest.fixture
async def live_site(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    """As `site`, on a socket, so that Patchbay itself can call its sandbox."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with open_site(sqlite_url, tmp_path, url) as site, served(site, listener):
            yield site
