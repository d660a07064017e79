"""How vendors behave, as their documentation has it: read from `vendors/*.toml`, one file a vendor, one table a way to authenticate.

These are written from what vendors say and not from the connector files, whose proof they are. URLs stand there whole, with the
values in them that are typed. In each table, or at the top of a file for all tables of it:

- `typed`, `secret`: what a person types; `wrong`: other secrets of the same form, where changing one letter does not give any
- `calls`: the requests of which one proves the credential; `lookups`: those that find an account's host or id before
- `sends`: where the credential goes in these; a bearer token where there is a token
- `account`: whom Patchbay must name afterwards; `site`: what it must have kept of the vendor's answers

A value may name, in braces, what was typed and what the vendor gave so far. Where a request differs in a value that names a secret,
that is a wrong credential, and the vendor says so with `refuses`; where it differs in anything else, the vendor complains.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VENDORS = Path(__file__).parent / "vendors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a vendor answers: JSON, a text or a form; strings in it are filled in."""

    status: int = 200
    json: Any = None
    text: str | None = None
    form: Mapping[str, str] | None = None
    # What Patchbay must make of it where it refuses something: the code of a reason.
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A signature over the whole request: of AWS, where `service` is there, or else of OAuth 1.0."""

    service: str | None = None
    region: str = ""
    method: str = "HMAC-SHA256"
    realm: str | None = None
    consumer_key: str = "{consumer_key}"
    consumer_secret: str = "{consumer_secret}"
    # Empty: only the client signs.
    token: str = "{token_id}"
    token_secret: str = "{token_secret}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sends:
    """Where a credential goes in a call."""

    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    basic: Sequence[str] | None = None
    signed: Signed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that the vendor understands: method and URL, whose query must be there, and the rest."""

    request: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    basic: Sequence[str] | None = None
    # A table in a form is JSON in one of its values.
    form: Mapping[str, Any] | None = None
    json: Any = None
    # Of a body that is neither: what stands in it.
    contains: Sequence[str] = ()
    # Instead of that of the way.
    sends: Sends | None = None
    reply: Reply = Reply(json={})
    refuses: Reply = Reply(status=401, json={}, reason="CREDENTIAL_REJECTED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """A request for tokens, and what comes of it."""

    request: str
    # The name of the grant; empty: there is none.
    grant: str | None = None
    # How the client proves itself: `basic`, `post`, `public`, `assertion`, or not at all (`none`).
    client: str = "none"
    # Where the parameters are: `form`, `json`, or `query`. `json` is a whole body instead of them.
    body: str = "form"
    parameters: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    basic: Sequence[str] | None = None
    status: int = 200
    # Seconds, as they are told; None: they are not.
    lifetime: int | None = None
    # Members of the answer besides the usual; or all of them.
    also: Mapping[str, Any] = field(default_factory=dict)
    answer: Any = None
    # The answer is a form unless JSON is asked for.
    answers_forms: bool = False
    # How the scopes stand in the answer: a text with this between them, `list`, or `none`.
    scope_answer: str = " "
    refuses: Reply = Reply(status=400, json={"error": "invalid_grant"}, reason="REAUTHENTICATION_REQUIRED")
    refuses_client: Reply = Reply(status=401, json={"error": "invalid_client"}, reason="INVALID_CLIENT")
    # Of a renewal: a refresh token is good once. `swaps`: there is none, and the access token is handed in.
    rotates: bool = False
    swaps: bool = False
    # The first renewal follows the consent at once.
    at_once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """A JWT as the vendor demands it, besides the times in it; `lifetime` in seconds, at most."""

    claims: Mapping[str, Any]
    header: Mapping[str, str] = field(default_factory=dict)
    algorithm: str = "RS256"
    lifetime: int = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to authenticate with one vendor."""

    vendor: str
    key: str
    typed: Mapping[str, str] = field(default_factory=dict)
    secret: Mapping[str, str] = field(default_factory=dict)
    wrong: Mapping[str, str] = field(default_factory=dict)
    # The page where a person consents, with all that its query must hold besides what the protocol says.
    authorize: str | None = None
    # All that may be asked for, each in the usual parameter or, in `further_scopes`, in another.
    scopes: Sequence[str] = ()
    further_scopes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    scope_parameter: str = "scope"
    scope_separator: str = " "
    # `required`, `refused`, or else taken where it comes.
    pkce: str = "taken"
    # What the browser brings back besides code and state, and the parameter that has the signature of all.
    callback: Mapping[str, str] = field(default_factory=dict)
    callback_signature: str | None = None
    assertion: Assertion | None = None
    token: Tokens | None = None
    refresh: Tokens | None = None
    lookups: Sequence[Request] = ()
    calls: Sequence[Request] = ()
    revoke: Request | None = None
    sends: Sends = Sends()
    account: str | None = None
    site: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.vendor}-{self.key}"

    @property
    def all_scopes(self) -> tuple[str, ...]:
        return (*self.scopes, *(name for names in self.further_scopes.values() for name in names))

    @property
    def is_silent(self) -> bool:
        """Nothing is asked of the vendor: what was typed is kept as it is."""
        return self.token is None and not self.calls and not self.lookups

    @property
    def is_renewed(self) -> bool:
        """What it gives ends, and can be had again without a person."""
        return self.refresh is not None or (self.authorize is None and (self.token is not None or self.assertion is not None))


def read_vendors(folder: Path = VENDORS) -> tuple[Way, ...]:
    return tuple(way for file in sorted(folder.glob("*.toml")) for way in _read(file))


_SHARED = ("typed", "calls", "lookups", "account", "sends", "site")


def _read(file: Path) -> Iterator[Way]:
    tables = tomllib.loads(file.read_text(encoding="utf-8"))
    shared = {name: tables.pop(name) for name in _SHARED if name in tables}
    for key, table in tables.items():
        typed = {**shared.get("typed", {}), **table.pop("typed", {})}
        try:
            yield _way(file.stem, key, typed=typed, **{name: value for name, value in shared.items() if name != "typed"} | table)
        except (TypeError, AttributeError) as error:
            raise ValueError(f"{file.name}: {key}: {error}") from None


def _way(vendor: str, key: str, **table: Any) -> Way:
    token, refresh, assertion, revoke = (table.pop(name, None) for name in ("token", "refresh", "assertion", "revoke"))
    if refresh is not None:
        # A renewal is as the exchange unless it is said to differ, but for what it sends.
        refresh = {name: value for name, value in token.items() if name not in ("grant", "parameters", "json", "status")} | refresh
    sends = table.pop("sends", None)
    if sends is None and (token is not None or assertion is not None):
        sends = {"headers": {"Authorization": "Bearer {access_token}" if token else "Bearer {assertion}"}}
    return Way(
        vendor=vendor,
        key=key,
        token=_tokens(token),
        refresh=_tokens(refresh),
        assertion=None if assertion is None else Assertion(**assertion),
        lookups=[_request(**lookup) for lookup in table.pop("lookups", ())],
        calls=[_request(**call) for call in table.pop("calls", ())],
        revoke=None if revoke is None else _request(**revoke),
        sends=_sends(sends or {}),
        **table,
    )


def _request(**table: Any) -> Request:
    reply = {name: table.pop(name) for name in ("status", "text") if name in table} | {"json": table.pop("answer", None)}
    if "refuses" in table:
        table["refuses"] = Reply(**{"reason": "CREDENTIAL_REJECTED"} | table["refuses"])
    if "sends" in table:
        table["sends"] = _sends(table["sends"])
    return Request(reply=Reply(**reply), **table)


def _tokens(table: dict[str, Any] | None) -> Tokens | None:
    if table is None:
        return None
    reasons = {"refuses": "REAUTHENTICATION_REQUIRED", "refuses_client": "INVALID_CLIENT"}
    refusals = {name: Reply(**{"reason": reasons[name]} | table[name]) for name in reasons if name in table}
    return Tokens(**table | refusals)


def _sends(table: dict[str, Any]) -> Sends:
    signed = {"signed": Signed(**table["signed"])} if "signed" in table else {}
    return Sends(**table | signed)
