from collections.abc import AsyncIterator

import pytest

from tests.acceptance.asking import Api
from tests.acceptance.identity import Place, opened_place
from tests.acceptance.servers import OPERATORS_APP, Installation, Person, Provider, installed


@pytest.fixture(scope="module")
async def installation(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """A provider under way, and a Patchbay for it that is not started."""
    async with installed(tmp_path_factory.mktemp("installation")) as installation:
        yield installation


@pytest.fixture(scope="module")
async def owner(installation: Installation) -> AsyncIterator[Api]:
    """Whoever started Patchbay, and registered the operator's app."""
    async with installation.serving() as (_, link), installation.owner(link) as owner:
        await owner.register_app("oidc", *OPERATORS_APP)
        yield owner


@pytest.fixture
def provider(installation: Installation) -> Provider:
    return installation.provider


@pytest.fixture
async def kim(installation: Installation, owner: Api) -> AsyncIterator[Person]:
    """Someone without any connection."""
    async with installation.person("Kim") as person:
        yield person


@pytest.fixture
async def lee(installation: Installation, owner: Api) -> AsyncIterator[Person]:
    """Someone else."""
    async with installation.person("Lee") as person:
        yield person


@pytest.fixture(scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A Patchbay, and the identity provider that its operator named."""
    async with opened_place(tmp_path_factory.mktemp("identity")) as place:
        yield place
