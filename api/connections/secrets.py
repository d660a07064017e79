"""The secrets of a connection as one value, and how it is sealed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import UUID

import orjson

from api.oauth.tokens import TokenSet
from api.secret import Secret
from api.vault.vault import Place, Vault
from models import Sealed
from models.database import read_json


def credential_place(credential_id: UUID, folder_id: UUID) -> Place:
    return Place("credential", "secrets", credential_id, folder_id)


def authorization_place(authorization_id: UUID, folder_id: UUID) -> Place:
    return Place("authorization_flow", "secrets", authorization_id, folder_id)


def journal_place(journal_id: UUID, folder_id: UUID) -> Place:
    return Place("token_journal", "answer", journal_id, folder_id)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a connection must not show: the fields that a person typed, and the tokens that the provider gave."""

    fields: Mapping[str, Secret] = field(default_factory=dict)
    access_token: Secret | None = None
    refresh_token: Secret | None = None
    token_type: str | None = None

    def with_tokens(self, tokens: TokenSet) -> "Secrets":
        """The same fields, with new tokens. A refresh token that the provider did not replace stays."""
        return Secrets(self.fields, tokens.access_token, tokens.refresh_token or self.refresh_token, tokens.token_type)

    def consumed(self) -> Secret:
        """What the next renewal consumes: the refresh token, or else what it is made from."""
        if self.refresh_token is not None:
            return self.refresh_token
        if self.access_token is not None:
            return self.access_token
        return Secret(json.dumps({name: value.reveal() for name, value in sorted(self.fields.items())}))

    def seal(self, vault: Vault, place: Place) -> Sealed:
        return vault.seal(_written(_to_json(self)), place)

    @classmethod
    def open(cls, vault: Vault, sealed: Sealed, place: Place) -> Self:
        """Raises Unreadable."""
        stored = read_json(vault.open(sealed, place))
        return cls(
            fields={name: Secret(value) for name, value in stored["fields"].items()},
            access_token=_secret(stored["access_token"]),
            refresh_token=_secret(stored["refresh_token"]),
            token_type=stored["token_type"],
        )


def _written(stored: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(stored)
    # Half of a surrogate pair, which a person may have typed, is no Unicode: only the standard library writes it.
    except TypeError:
        return json.dumps(stored).encode()


def _to_json(secrets: Secrets) -> dict[str, Any]:
    return {
        "fields": {name: value.reveal() for name, value in secrets.fields.items()},
        "access_token": _text(secrets.access_token),
        "refresh_token": _text(secrets.refresh_token),
        "token_type": secrets.token_type,
    }


def _secret(text: str | None) -> Secret | None:
    return None if text is None else Secret(text)


def _text(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal()
