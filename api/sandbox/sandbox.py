"""The make-believe vendor: a provider, an API that its tokens open, and the switches."""

import base64
import binascii
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from api.clock import Clock
from api.errors import NotFound, StartRefused
from api.sandbox.provider import Answer, Client, Consent, Incoming, Provider, invalid_token, is_secure, trouble_of
from api.sandbox.records import ACCOUNTS, SCOPES, Account, Grant, GrantKind, Mode, Records, Store, Token, TokenKind
from api.secret import Secret

CLIENT_ID = "patchbay-sandbox"
# Short, so that a refresh is seen within a minute.
_LIFETIME = timedelta(seconds=60)
LIFETIMES = (10, 60, 300, 3600)


class ClientSwitch(StrEnum):
    """What can be done to the client."""

    NEW_SECRET = "new_secret"
    RETIRE_SECRETS = "retire_secrets"
    DISABLE = "disable"
    ENABLE = "enable"


class Switch(StrEnum):
    """What can be done to a grant."""

    REVOKE = "revoke"
    ANSWER_503 = "answer_503"
    ANSWER_429 = "answer_429"
    EXPIRE = "expire"
    NORMAL = "normal"


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything that the control page shows."""

    grants: list[Grant]
    personal: list[Grant]
    lifetime: timedelta
    client: Client


class Sandbox:
    def __init__(self, data_file: Path, issuer: str, clock: Clock, redirect_uris: tuple[str, ...]) -> None:
        """Open the file, or make it. Raises StartRefused where the issuer is neither https nor loopback."""
        if not is_secure(issuer):
            raise StartRefused(
                f"The sandbox cannot be served at {issuer}: OAuth needs https, or http on a loopback address.",
                "Set a public URL that begins with https://, or switch the sandbox off.",
            )
        # Its debug lines would name tokens, and tokens are in no log.
        logging.getLogger("authlib").setLevel(logging.INFO)
        self.issuer = issuer.rstrip("/")
        self._store = Store(data_file, clock)
        self._redirect_uris = redirect_uris
        with self._store.work() as records:
            _make_personal_tokens(records)

    @property
    def client_id(self) -> str:
        return CLIENT_ID

    @property
    def client_secret(self) -> Secret:
        """The newest."""
        with self._store.work() as records:
            return self._client(records).client_secrets[0]

    @property
    def origin(self) -> str:
        parts = urlsplit(self.issuer)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def redirect_origins(self) -> tuple[str, ...]:
        """Where a consent may end, for the policy of the consent page."""
        parts = [urlsplit(uri) for uri in self._redirect_uris]
        return tuple(sorted({f"{part.scheme}://{part.netloc}" for part in parts}))

    # The protocol

    def consent_to(self, incoming: Incoming) -> tuple[str, tuple[str, ...]] | Answer:
        """The redirect URI and the scopes that a person is asked for; or the answer to a request that cannot be granted."""
        with self._provider() as provider:
            return provider.consent_to(incoming)

    def decide(self, incoming: Incoming, account: str, scopes: tuple[str, ...]) -> Answer:
        """Send the browser back. An unknown account, or no scope at all, is a refusal."""
        person = _find_account(account)
        consent = Consent(person, scopes) if person and scopes else None
        with self._provider() as provider:
            return provider.decide(incoming, consent)

    def issue(self, incoming: Incoming) -> Answer:
        with self._provider() as provider:
            return provider.issue(incoming)

    def revoke(self, incoming: Incoming) -> Answer:
        with self._provider() as provider:
            return provider.revoke(incoming)

    def me(self, headers: Mapping[str, str]) -> Answer:
        """Whose token it is: the API of the sandbox, all of it."""
        account, text = _presented(headers)
        with self._store.work() as records:
            token = records.find_token(text) if text else None
            if token is None or token.kind is not TokenKind.ACCESS or account not in (None, token.grant.account):
                return invalid_token()
            return trouble_of(token.grant) or _me(token, records)

    # The switches

    def overview(self) -> Overview:
        with self._store.work() as records:
            grants = records.grants()
            return Overview(
                grants=[grant for grant in grants if grant.kind is not GrantKind.PERSONAL],
                personal=sorted((grant for grant in grants if grant.kind is GrantKind.PERSONAL), key=lambda grant: grant.account),
                lifetime=_lifetime(records),
                client=self._client(records),
            )

    def throw(self, switch: Switch, *, id: str | None = None, account: str | None = None) -> int:
        """Throw a switch for every grant with this id, or of this account: how many. Raises NotFound for none."""
        with self._store.work() as records:
            grants = records.grants(id=id, account=account)
            for grant in grants:
                _ACTS[switch](records, grant)
        if not grants:
            raise NotFound("grant")
        return len(grants)

    def throw_for_client(self, switch: ClientSwitch) -> None:
        """Give the client another secret beside those that it has, leave it none but the newest, or stop knowing it for a while."""
        with self._store.work() as records:
            newest, *former = (secret.reveal() for secret in self._client(records).client_secrets)
            match switch:
                case ClientSwitch.NEW_SECRET:
                    records.set_setting("client_secret", secrets.token_urlsafe(32))
                    records.set_setting("former_secrets", " ".join([newest, *former]))
                case ClientSwitch.RETIRE_SECRETS:
                    records.set_setting("former_secrets", "")
                case ClientSwitch.DISABLE | ClientSwitch.ENABLE:
                    records.set_setting("client_is", switch)

    def set_lifetime(self, lifetime: timedelta) -> None:
        """How long access tokens live from now on."""
        with self._store.work() as records:
            records.set_setting("lifetime", str(int(lifetime.total_seconds())))

    @contextmanager
    def _provider(self) -> Iterator[Provider]:
        with self._store.work() as records:
            yield Provider(records, self._client(records), self.issuer, _lifetime(records))

    def _client(self, records: Records) -> Client:
        newest = records.setting("client_secret", secrets.token_urlsafe(32))
        texts = [newest, *records.setting("former_secrets", "").split()]
        is_disabled = records.setting("client_is", ClientSwitch.ENABLE) == ClientSwitch.DISABLE
        return Client(CLIENT_ID, tuple(Secret(text) for text in texts), self._redirect_uris, is_disabled)


def _make_personal_tokens(records: Records) -> None:
    have = {grant.account for grant in records.grants(kind=GrantKind.PERSONAL)}
    for account in ACCOUNTS:
        if account.name not in have:
            records.renew_personal_token(records.add_grant(GrantKind.PERSONAL, account.name, " ".join(SCOPES)))


def _lifetime(records: Records) -> timedelta:
    return timedelta(seconds=int(records.setting("lifetime", str(int(_LIFETIME.total_seconds())))))


def _find_account(name: str) -> Account | None:
    return next((account for account in ACCOUNTS if account.name == name), None)


def _presented(headers: Mapping[str, str]) -> tuple[str | None, str]:
    """The account, where the caller names one, and the token: as Bearer, as a password, or as an API key."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    match scheme.lower():
        case "bearer":
            return None, value.strip()
        case "basic":
            try:
                account, _, password = base64.b64decode(value, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return None, ""
            return account, password
        case _:
            return None, headers.get("x-api-key", "")


def _me(token: Token, records: Records) -> Answer:
    if token.grant.mode is Mode.REVOKED or (token.expires_at is not None and token.expires_at <= records.now):
        return invalid_token()
    account = _find_account(token.grant.account)
    body = {
        "account": token.grant.account,
        "name": account.full_name if account else token.grant.account,
        "scopes": token.scope.split(),
        "grant": token.grant.id,
    }
    return Answer(200, body, [("cache-control", "no-store")])


def _revoke(records: Records, grant: Grant) -> None:
    # A personal token is always there to be tried, so in place of the dead one comes another.
    if grant.kind is GrantKind.PERSONAL:
        records.renew_personal_token(grant)
    else:
        records.set_mode(grant, Mode.REVOKED)


def _become(mode: Mode) -> Callable[[Records, Grant], None]:
    def act(records: Records, grant: Grant) -> None:
        # What a person revoked at a vendor stays revoked; only the client's own grant can be given back.
        if grant.mode is not Mode.REVOKED or grant.kind is GrantKind.CLIENT:
            records.set_mode(grant, mode)

    return act


_ACTS: dict[Switch, Callable[[Records, Grant], None]] = {
    Switch.REVOKE: _revoke,
    Switch.ANSWER_503: _become(Mode.UNAVAILABLE),
    Switch.ANSWER_429: _become(Mode.RATE_LIMITED),
    Switch.EXPIRE: Records.expire_access_tokens,
    Switch.NORMAL: _become(Mode.NORMAL),
}
