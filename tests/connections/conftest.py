from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.clock import HeldClock
from tests.connections.trouble import Endpoint
from tests.installation import Installation, installed


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
async def here(database_url: str, tmp_path: Path, clock: HeldClock) -> AsyncIterator[Installation]:
    """A whole Patchbay, once on each database."""
    async with installed(database_url, tmp_path, clock) as installation:
        yield installation


@pytest.fixture
def token_endpoint(here: Installation, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    return _endpoint(here, monkeypatch, "issue")


@pytest.fixture
def revocation_endpoint(here: Installation, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    return _endpoint(here, monkeypatch, "revoke")


@pytest.fixture
def account_endpoint(here: Installation, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """The one that proves a credential."""
    return _endpoint(here, monkeypatch, "me")


def _endpoint(here: Installation, monkeypatch: pytest.MonkeyPatch, name: str) -> Endpoint:
    endpoint = Endpoint(getattr(here.sandbox, name))
    monkeypatch.setattr(here.sandbox, name, endpoint)
    return endpoint
