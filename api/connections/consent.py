"""What a consent under way keeps, and what its browser must bring back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import quote, urlsplit
from uuid import UUID

from api.connections.secrets import authorization_place
from api.errors import Conflict, PatchbayError, PermissionDenied
from api.secret import Secret
from api.vault.vault import Vault
from models import Sealed


@dataclass(frozen=True, slots=True)
class FlowSecrets:
    """What neither the browser nor a reader of the database may see while a person consents."""

    fields: Mapping[str, Secret] = field(default_factory=dict)
    code_verifier: Secret | None = None

    def seal(self, vault: Vault, authorization_id: UUID, folder_id: UUID) -> Sealed:
        stored = {
            "fields": {name: value.reveal() for name, value in self.fields.items()},
            "code_verifier": self.code_verifier.reveal() if self.code_verifier else None,
        }
        return vault.seal(json.dumps(stored).encode(), authorization_place(authorization_id, folder_id))

    @classmethod
    def open(cls, vault: Vault, sealed: Sealed | None, authorization_id: UUID, folder_id: UUID) -> Self:
        """Raises Unreadable."""
        if sealed is None:
            return cls()
        stored = json.loads(vault.open(sealed, authorization_place(authorization_id, folder_id)))
        verifier = stored["code_verifier"]
        return cls(
            fields={name: Secret(value) for name, value in stored["fields"].items()},
            code_verifier=None if verifier is None else Secret(verifier),
        )


@dataclass(frozen=True, slots=True)
class Addresses:
    """The URLs of this installation that take part in a consent, built from its public URL alone."""

    public_url: str
    return_origins: frozenset[str] = frozenset()

    def redirect_uri(self, connector_key: str) -> str:
        """The callback to register with a vendor. One a connector: an answer for one can never be taken for another's."""
        return f"{self.public_url}/provisioning_/callback/{quote(connector_key, safe='')}"

    def authorization_url(self, authorization_id: UUID) -> str:
        return f"{self.public_url}/connect/{authorization_id}"

    def allows_return_to(self, url: str) -> bool:
        """Whether a browser may be sent there: its origin is ours, or exactly one on the operator's list."""
        if not url.isascii() or not url.isprintable() or "\\" in url or " " in url:
            return False
        try:
            parts = urlsplit(url)
            origin = f"{parts.scheme}://{parts.netloc}"
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and origin in self.return_origins | {self.public_url}


class BegunByAnother(PermissionDenied):
    """Someone opened the link of another person's consent."""

    def __init__(self, name: str) -> None:
        message = f"{name} began this connection, so only {name} can finish it."
        super().__init__(None, told=(message, "If you want to connect an account of your own, begin a connection of your own."))
        self.name = name


class AskedOfAnother(BegunByAnother):
    """Someone opened the link by which another person is asked for a connection."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.message = f"This link is for {name}, so only {name} can go on with it."
        self.remedy = f"Send it to {name}, who signs in as themselves."


class CallbackRefused(PatchbayError):
    """An answer that no consent of ours waits for. Always the same words, so that nothing can be learned from them."""

    def __init__(self) -> None:
        super().__init__(
            "This is not an answer that Patchbay is waiting for: it is too old, was used already, or was not asked for in this browser.",
            "Begin the connection again, in the browser in which you are signed in.",
        )


class ConsentOver(Conflict):
    def __init__(self) -> None:
        super().__init__("This consent is over.", "Begin the connection again.")


def single_values(parameters: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The parameters of a callback by name. Raises CallbackRefused where one comes twice."""
    values = dict(parameters)
    if len(values) != len(parameters):
        raise CallbackRefused
    return values


def cookie_name(authorization_id: UUID, *, secure: bool) -> str:
    """One cookie a consent, so that two under way in one browser do not disturb each other."""
    name = f"patchbay-flow-{authorization_id.hex[:12]}"
    return f"__Host-{name}" if secure else name
