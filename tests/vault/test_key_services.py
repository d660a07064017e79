"""Master keys in key services: what they wrap opens with the same key for the same context alone, and their outage stops nothing."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import models
from api.errors import KeyTrouble
from api.secret import Secret
from api.vault.following import RingFollower
from api.vault.key_services import AwsKmsKey, TransitKey, TransitServer, _kms_client
from api.vault.keys import MasterKey, MasterKeys, Wrapper
from api.vault.opening import open_vault
from api.vault.rotation import Rotation
from tests.vault.ringing import HERE, K1, now
from tests.vault.services import AWS, kms, kms_key, openbao

pytestmark = pytest.mark.anyio

ARN = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
NOWHERE = TransitServer("http://127.0.0.1:1", Secret("token"))


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    with kms() as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def bao() -> Iterator[TransitServer]:
    with openbao() as server:
        yield server


@pytest.fixture(autouse=True)
def new_clients() -> None:
    """A client keeps the address that it was made with."""
    _kms_client.cache_clear()


@pytest.fixture
def kms_environment(aws: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in {**AWS, "AWS_ENDPOINT_URL_KMS": aws}.items():
        monkeypatch.setenv(name, value)
    return aws


@pytest.fixture(params=["aws-kms", "vault-transit"])
def pair(request: pytest.FixtureRequest) -> tuple[Wrapper, Wrapper]:
    """A key of a service, and another one there that has the same id here."""
    if request.param == "aws-kms":
        endpoint = request.getfixturevalue("kms_environment")
        return AwsKmsKey("cloud", kms_key(endpoint)), AwsKmsKey("cloud", kms_key(endpoint))
    server = request.getfixturevalue("bao")
    return TransitKey("cloud", "transit/patchbay", server), TransitKey("cloud", "transit/other", replace(server, token=Secret("root")))


async def test_what_a_service_wraps_opens_with_that_key_for_that_context_alone(pair: tuple[Wrapper, Wrapper]) -> None:
    service, other = pair
    key = bytes(range(32))
    wrapped = await service.wrap(key, b"context")

    assert await service.unwrap(wrapped, b"context") == key
    assert key not in wrapped
    own = MasterKey("cloud", K1.key)
    refused = [
        (service, wrapped, b"another"),
        (other, wrapped, b"context"),
        (service, wrapped[:-2] + bytes([wrapped[-2] ^ 1]) + wrapped[-1:], b"context"),
        (service, await own.wrap(key, b"context"), b"context"),
        (own, wrapped, b"context"),
    ]
    for wrapper, value, context in refused:
        # Of a key that is not the caller's, a service may say no more than that.
        with pytest.raises(KeyTrouble, match="“cloud” does not open|“cloud” should have wrapped|“cloud” cannot be used now"):
            await wrapper.unwrap(value, context)


async def test_check_values_tell_keys_apart_and_stay(pair: tuple[Wrapper, Wrapper]) -> None:
    service, other = pair

    assert len(service.check_value()) == 32
    assert service.check_value() == service.check_value() != other.check_value()


@pytest.mark.usefixtures("database")
async def test_a_ring_moves_to_a_service_and_then_needs_nothing_else(pair: tuple[Wrapper, Wrapper]) -> None:
    service, other = pair
    first = await open_vault(MasterKeys([K1]), now)
    sealed = first.seal(b"token", HERE)
    both = MasterKeys([service, K1])
    vault = await open_vault(both, now)
    rotation = Rotation(vault, RingFollower(vault, lambda: both), both, now, print)

    assert await rotation.rewrap() == 2
    await rotation.rotate()

    alone = await open_vault(MasterKeys([service]), now)
    assert alone.fingerprint(Secret("token")) == first.fingerprint(Secret("token"))
    assert alone.seal(b"token", HERE)[2:6] == b"\0\0\0\3"
    with pytest.raises(KeyTrouble, match="“cloud” is not the one that this database knows"):
        await open_vault(MasterKeys([other]), now)
    assert rotation._vault.open(sealed, HERE) == b"token"


@pytest.mark.usefixtures("database")
async def test_a_service_that_is_away_stops_the_start_and_nothing_that_runs(
    pair: tuple[Wrapper, Wrapper], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = MasterKeys([pair[0]])
    vault = await open_vault(keys, now)
    sealed = vault.seal(b"token", HERE)
    before = await models.CryptoKey.all().values()

    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:1")
    _kms_client.cache_clear()
    away = keys if isinstance(pair[0], AwsKmsKey) else MasterKeys([TransitKey("cloud", "transit/patchbay", NOWHERE)])
    await RingFollower(vault, lambda: away).read()

    assert vault.open(sealed, HERE) == b"token"
    assert vault.can_seal
    with pytest.raises(KeyTrouble, match="“cloud” cannot be used now") as refusal:
        await open_vault(away, now)
    assert "Nothing was written." in str(refusal.value.remedy)
    assert await models.CryptoKey.all().values() == before


async def test_what_the_service_refuses_is_told_without_the_token(bao: TransitServer) -> None:
    for key in (
        TransitKey("cloud", "transit/patchbay", replace(bao, token=Secret("hush"))),
        TransitKey("cloud", "transit/other", bao),
        TransitKey("cloud", "elsewhere/patchbay", bao),
    ):
        with pytest.raises(KeyTrouble, match="“cloud” cannot be used now: the transit engine answers 40[34]") as refusal:
            await key.wrap(bytes(32), b"context")
        assert "hush" not in str(refusal.value) + repr(key)


async def test_a_service_that_never_answers_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.vault.key_services._SECONDS", 0.05)
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", url)
        for key in (AwsKmsKey("cloud", ARN), TransitKey("cloud", "transit/patchbay", TransitServer(url, Secret("token")))):
            with pytest.raises(KeyTrouble, match="not answer"):
                await key.wrap(bytes(32), b"context")


def test_keys_of_services_are_written_beside_those_of_our_own(tmp_path: Path) -> None:
    text = f"aws-kms:k3:{ARN}\nvault-transit:k2:team/transit/patchbay\nk1:yCmXTd0LbvBqA3m4YOYlzNzCaYbnY8tKgcZ3n0bGg2U=\n"

    keys = list(MasterKeys.from_text(text, transit=NOWHERE))

    assert keys[:2] == [AwsKmsKey("k3", ARN), TransitKey("k2", "team/transit/patchbay", NOWHERE)]
    assert keys[2].id == "k1"


def test_a_key_of_our_own_may_have_the_name_of_a_service() -> None:
    keys = MasterKeys.from_text("aws-kms:yCmXTd0LbvBqA3m4YOYlzNzCaYbnY8tKgcZ3n0bGg2U=")

    assert isinstance(keys.primary, MasterKey)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aws-kms:k1:alias/patchbay", "“k1” does not name a key of AWS KMS"),
        ("aws-kms:k1:arn:aws:kms:eu-central-1:123456789012:alias/patchbay", "“k1” does not name a key of AWS KMS"),
        ("aws-kms:k1:arn:aws:s3:eu-central-1:123456789012:key/1", "“k1” does not name a key of AWS KMS"),
        (f"aws-kms::{ARN}", "Master key number 1 does not have the form `aws-kms:id:name`"),
        ("vault-transit:k1:patchbay", "“k1” does not name a key of a transit engine"),
        ("vault-transit:k1:transit/../sys", "“k1” does not name a key of a transit engine"),
        ("vault-transit:k1:transit/patch bay", "“k1” does not name a key of a transit engine"),
    ],
)
def test_what_names_no_key_of_a_service_is_refused(text: str, message: str) -> None:
    with pytest.raises(KeyTrouble, match=message):
        MasterKeys.from_text(text, transit=NOWHERE)


def test_a_transit_key_without_a_server_is_refused_with_the_settings_to_set() -> None:
    with pytest.raises(KeyTrouble) as refusal:
        MasterKeys.from_text("vault-transit:k1:transit/patchbay")

    assert refusal.value.remedy == "Set PATCHBAY_TRANSIT_URL and PATCHBAY_TRANSIT_TOKEN."
