"""How a credential is used and proven: where it goes in a call, and the call that shows that it works."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from api.catalog.template import Template


class Proof(StrEnum):
    """What shows that a credential works."""

    # A request made with it.
    REQUEST = "request"
    # That the provider gave a token for it at all, since no request is one that every good credential may make.
    TOKEN_EXCHANGE = "token-exchange"
    # A login by another protocol than HTTP.
    LOGIN = "login"
    # Nothing that can be done from here: it is kept, and never said to be verified.
    NONE = "none"


class PlacementLocation(StrEnum):
    HEADER = "header"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a credential goes in a call to the provider. `name` and `value` may name the option's fields and `access_token`."""

    location: PlacementLocation
    name: str
    value: Template

    def render(self, values: Mapping[str, str]) -> tuple[str, str]:
        """The header or query parameter, as name and value. Raises KeyError for a placeholder that has no value."""
        return Template(self.name).render(values), self.value.render(values)


@dataclass(frozen=True, slots=True)
class Basic:
    """HTTP Basic (RFC 7617), composed of fields."""

    username: Template
    password: Template


@dataclass(frozen=True, slots=True)
class AwsSignature:
    """AWS Signature Version 4 over the whole request, with the fields `access_key_id`, `secret_access_key` and `session_token`."""

    service: Template
    region: Template


@dataclass(frozen=True, slots=True)
class OAuth1Signature:
    """OAuth 1.0 (RFC 5849) with a token that is at hand already. Without a token only the client signs."""

    consumer_key: Template
    consumer_secret: Template
    token: Template | None = None
    token_secret: Template | None = None
    method: str = "HMAC-SHA256"
    realm: Template | None = None


Signature = AwsSignature | OAuth1Signature


class LoginProtocol(StrEnum):
    LDAP = "ldap"
    IMAP = "imap"
    SMTP = "smtp"
    POP3 = "pop3"


@dataclass(frozen=True, slots=True)
class Login:
    """A login by another protocol than HTTP. `security` renders to `tls`, `starttls` or `none`."""

    protocol: LoginProtocol
    host: Template
    port: Template
    security: Template
    username: Template
    password: Template


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the JSON body of a proof must hold at the dotted path `path`: one of `values` (as JSON would compare), or anything but null."""

    path: str
    values: tuple[str | int | bool, ...] = ()


@dataclass(frozen=True, slots=True)
class Verification:
    """The cheapest request that only a working credential answers well."""

    url: Template
    method: str = "GET"
    headers: Mapping[str, Template] = field(default_factory=dict)
    # Sent as it is, with a content type among the headers; or else a form.
    body: Template | None = None
    form: Mapping[str, Template] = field(default_factory=dict)
    statuses: tuple[int, ...] = (200,)
    expect: tuple[Expectation, ...] = ()
    # Texts that must stand in a body that is not JSON.
    contains: tuple[str, ...] = ()
    # What in a body means that the provider cannot say now, and not that it says no.
    busy: tuple[Expectation, ...] = ()
    # Where the answer names the account: dotted paths into the JSON body, the first that holds something; none: it does not.
    account: tuple[str, ...] = ()
    # Statuses that mean "this credential is no good"; all others are the provider's trouble.
    rejected: tuple[int, ...] = (401, 403)
    # Stands in for the signature of the option, where the proof is asked of another service.
    signature: Signature | None = None
