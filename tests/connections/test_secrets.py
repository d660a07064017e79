"""The secrets of a connection as they are kept: whatever was typed comes back as it was."""

import json
from uuid import UUID

import pytest

from api.connections.secrets import Secrets, credential_place
from api.secret import Secret
from api.vault.vault import Vault

VAULT = Vault({1: b"k" * 32}, active=1, derivation_key=b"d" * 32)
PLACE = credential_place(UUID(int=1), UUID(int=2))


@pytest.mark.parametrize("typed", ["plain", "ä€𝄞", "\ud800 half a pair", '"quoted" \\ \x00', ""])
def test_what_was_sealed_is_what_is_opened(typed: str) -> None:
    secrets = Secrets({"key": Secret(typed)}, access_token=Secret("access"), token_type="Bearer")

    opened = Secrets.open(VAULT, secrets.seal(VAULT, PLACE), PLACE)

    assert _revealed(opened) == ({"key": typed}, "access", None, "Bearer")


@pytest.mark.parametrize("typed", ["ä€", "\ud800 half a pair"])
def test_what_an_earlier_version_sealed_is_opened(typed: str) -> None:
    stored = {"fields": {"key": typed}, "access_token": None, "refresh_token": "refresh", "token_type": None}

    opened = Secrets.open(VAULT, VAULT.seal(json.dumps(stored).encode(), PLACE), PLACE)

    assert _revealed(opened) == ({"key": typed}, None, "refresh", None)


def _revealed(secrets: Secrets) -> tuple[object, ...]:
    tokens = [None if token is None else token.reveal() for token in (secrets.access_token, secrets.refresh_token)]
    return {name: value.reveal() for name, value in secrets.fields.items()}, *tokens, secrets.token_type
