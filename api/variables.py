"""What an operator may set: each variable, what it accepts, and how it is read from its text."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cronsim import CronSim, CronSimError

from api.proxies import Network
from api.secret import Secret
from models.database import DatabaseUrl, InvalidDatabaseUrl

PREFIX = "PATCHBAY_"

# Of an issuer, and whatever else is kept beside it.
_LONGEST_WORD = 255

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_CONNECTOR_KEY = r"[a-z0-9][a-z0-9-]{0,63}"
_HOST = r"(\[[0-9a-f:]+\]|[a-z0-9]([a-z0-9.-]*[a-z0-9])?)"


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of the environment, as the operator is told of it."""

    name: str
    accepts: str
    default: str
    meaning: str
    read: Callable[[str], Any]
    secret: bool = False

    @property
    def full_name(self) -> str:
        return PREFIX + self.name


def _database_url(text: str) -> Secret:
    try:
        DatabaseUrl.parse(text)
    except InvalidDatabaseUrl as error:
        raise ValueError(f"is not usable: {error}") from None
    return Secret(text)


def _public_url(text: str) -> str:
    parts = _split(text)
    if parts is None or parts.path or parts.query or parts.fragment or parts.username is not None:
        raise ValueError("is not a scheme and a host alone")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise ValueError("must begin with https:// unless its host is this machine")
    return text


def _server_url(text: str) -> str:
    parts = _split(text)
    if parts is None or parts.scheme not in ("http", "https") or text != f"{parts.scheme}://{parts.netloc}" or "@" in parts.netloc:
        raise ValueError("is not a scheme and a host alone")
    return text


def _issuer(text: str) -> str:
    parts = _split(text)
    if parts is None or parts.scheme not in ("http", "https") or parts.query or parts.fragment or parts.username is not None:
        raise ValueError("is no issuer")
    if len(text) > _LONGEST_WORD or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("is no issuer")
    return text


def _word(text: str) -> str:
    if not 1 <= len(text) <= _LONGEST_WORD or not text.isprintable() or text != text.strip():
        raise ValueError("is not such a text")
    return text


def _origins(text: str) -> frozenset[str]:
    origins = _items(text)
    for origin in origins:
        parts = _split(origin)
        if parts is None or parts.scheme not in ("http", "https") or origin != f"{parts.scheme}://{parts.netloc}":
            raise ValueError(f"holds “{origin}”, which is no origin")
    return origins


def _hosts(text: str) -> frozenset[str]:
    hosts = _items(text.lower())
    for host in hosts:
        if not re.fullmatch(_HOST + r"(:[0-9]{1,5})?", host):
            raise ValueError(f"holds “{host}”, which is no host")
    return hosts


def _names(text: str) -> frozenset[str]:
    names = _items(text.lower())
    for name in names:
        if not re.fullmatch(_HOST, name):
            raise ValueError(f"holds “{name}”, which is no host")
    return frozenset(name.strip("[]") for name in names)


def _networks(text: str) -> frozenset[Network]:
    networks = set()
    for item in _items(text):
        try:
            networks.add(ip_network(item))
        except ValueError:
            raise ValueError(f"holds “{item}”, which is no address and no network") from None
    return frozenset(networks)


def _connectors(text: str) -> frozenset[str]:
    keys = _items(text)
    for key in keys:
        if not re.fullmatch(_CONNECTOR_KEY, key):
            raise ValueError(f"holds “{key}”, which is no key of a connector")
    if not keys:
        raise ValueError("names no connector")
    return keys


def _items(text: str) -> frozenset[str]:
    return frozenset(item.strip() for item in text.split(",") if item.strip())


def _split(text: str) -> Any:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - reading it is the check
    except ValueError:
        return None
    return parts if parts.hostname else None


def _switch(text: str) -> bool:
    if text not in ("on", "off"):
        raise ValueError("is neither on nor off")
    return text == "on"


def _between(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or not least <= int(text[:10]) <= most:
            raise ValueError("is not such a number")
        return int(text)

    return read


def _schedule(text: str) -> str:
    if len(text.split()) != 6:
        raise ValueError("does not have six fields")
    try:
        CronSim(text, datetime.now(UTC))
    except CronSimError:
        raise ValueError("is not a schedule") from None
    return text


def _level(text: str) -> str:
    if text not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ValueError("is not a level")
    return text


def _host(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Za-z.:-]+", text):
        raise ValueError("is not an address")
    return text


def _folder(text: str) -> Path:
    if not Path(text).is_dir():
        raise ValueError("is not a folder")
    return Path(text).absolute()


def _file(text: str) -> Path:
    if not Path(text).is_file():
        raise ValueError("is not a file")
    return Path(text).absolute()


def _path(text: str) -> Path:
    if not text:
        raise ValueError("is empty")
    return Path(text).absolute()


VARIABLES = (
    Variable("DATA_FOLDER", "a path", ".patchbay", "Where SQLite, the local key and the sandbox keep their files.", _path),
    Variable(
        "DATABASE_URL",
        "sqlite:///path or postgres://user:password@host/name",
        "SQLite in the data folder",
        "Where everything is remembered.",
        _database_url,
        secret=True,
    ),
    Variable("HOST", "an address of this machine", "127.0.0.1", "The address to listen on.", _host),
    Variable("PORT", "1 to 65535", "8000", "The port to listen on.", _between(1, 65535)),
    Variable(
        "PUBLIC_URL",
        "https://host, or http:// with a loopback host",
        "http://127.0.0.1:PORT",
        "How browsers reach Patchbay. Callback URLs are built from it alone.",
        _public_url,
    ),
    Variable(
        "ALLOWED_HOSTS",
        "hosts without port, separated by commas",
        "",
        "By which names a request may call this server, besides the public URL's and those of this machine.",
        _names,
    ),
    Variable(
        "TRUSTED_PROXIES",
        "addresses or networks, separated by commas",
        "",
        "The reverse proxies in front: only what they say in X-Forwarded-For is believed.",
        _networks,
    ),
    Variable("KEY_FILE", "a path", "made in the data folder, for SQLite on loopback only", "The file with the master keys.", _path),
    Variable(
        "KEYS",
        "id:base64, or the name of a key in a key service; the primary first, separated by commas",
        "",
        "The master keys themselves, instead of a file.",
        Secret,
        secret=True,
    ),
    Variable(
        "TRANSIT_URL",
        "http://host or https://host, maybe with a port",
        "",
        "Where HashiCorp Vault or OpenBao answers, for master keys in its transit engine.",
        _server_url,
    ),
    Variable("TRANSIT_TOKEN", "a token", "", "The token that may encrypt and decrypt there.", Secret, secret=True),
    Variable(
        "SANDBOX", "on or off", "on for SQLite on loopback, else off", "Whether the OAuth provider for trying things out is there.", _switch
    ),
    Variable("PLAYGROUND", "on or off", "on", "Whether browsers get the GraphQL playground.", _switch),
    Variable(
        "EGRESS_ALLOW",
        "host or host:port, separated by commas",
        "",
        "Providers, and receivers of webhooks, that may be called though they are private or plain http.",
        _hosts,
    ),
    Variable("EGRESS_CA_FILE", "the path of a PEM file", "", "Certificate authorities to trust besides the system's.", _file),
    Variable(
        "RETURN_ORIGINS",
        "origins, separated by commas",
        "",
        "Where a browser may be sent after consent, besides Patchbay itself.",
        _origins,
    ),
    Variable(
        "ALLOWED_ORIGINS",
        "origins, separated by commas",
        "",
        "Whose pages may use the API with a browser's session, besides our own.",
        _origins,
    ),
    Variable("CONNECTORS_FOLDER", "the path of a folder", "", "Further connector files, one TOML file a connector.", _folder),
    Variable(
        "INSTALLED_CONNECTORS",
        "keys of connectors, separated by commas",
        "all",
        "Which connectors are offered, as far as no administrator said otherwise by setConnectorInstalled.",
        _connectors,
    ),
    Variable(
        "REFRESH_SCHEDULE",
        "cron with six fields, seconds first",
        "*/5 * * * * *",
        "When the refresh loop looks for what is due.",
        _schedule,
    ),
    Variable("REFRESH_CONCURRENCY", "1 to 4000", "64", "How many connections are refreshed at once.", _between(1, 4000)),
    Variable(
        "COURIER",
        "on or off",
        "on",
        "Whether a process beside the server asks for tokens, and keeps each answer on disk until it is saved.",
        _switch,
    ),
    Variable(
        "COURIER_JOURNAL",
        "8 to 1024",
        "8, or what PATCHBAY_REFRESH_CONCURRENCY needs",
        "How many megabytes each of the two files takes in which the courier keeps answers; one is enough for about 60 exchanges at once.",
        _between(8, 1024),
    ),
    Variable(
        "PROVIDER_RATE",
        "1 to 10000",
        "20",
        "How many requests a second each OAuth app makes at most at its provider, to keep connections alive.",
        _between(1, 10_000),
    ),
    Variable(
        "PROVIDER_CONCURRENCY",
        "1 to 1000",
        "8",
        "How many requests a provider's host gets at once; four at most where each of them spends a refresh token.",
        _between(1, 1000),
    ),
    Variable(
        "PROXY_RATE",
        "1 to 100000",
        "100",
        "How many calls a second through the proxy each connection gets from this process in the long run; ten times as many in one go.",
        _between(1, 100_000),
    ),
    Variable("PROXY_CONCURRENCY", "1 to 1000", "32", "How many calls through the proxy each connection gets at once.", _between(1, 1000)),
    Variable(
        "REQUEST_RATE",
        "1 to 100000",
        "200",
        "How many operations and credentials a second each user gets from this process in the long run; ten times as many in one go.",
        _between(1, 100_000),
    ),
    Variable(
        "SIGN_IN_RATE",
        "1 to 100000",
        "600",
        "How many times a minute each address may sign in, depart to a provider or come back from one, at this process.",
        _between(1, 100_000),
    ),
    Variable("AUDIT_DAYS", "1 to 36500", "", "For how many days the audit log is kept; without it, for good.", _between(1, 36_500)),
    Variable("LOG_LEVEL", "DEBUG, INFO, WARNING or ERROR", "INFO", "What is logged.", _level),
    Variable(
        "OIDC_ISSUER",
        "the URL of an issuer, exactly as it calls itself",
        "",
        "The identity provider (OpenID Connect) at which people sign in. A private one also needs PATCHBAY_EGRESS_ALLOW.",
        _issuer,
    ),
    Variable("OIDC_CLIENT_ID", "a client id", "", "What Patchbay is registered as there. Needed with the issuer.", _word),
    Variable("OIDC_CLIENT_SECRET", "a client secret", "", "Its secret; a public client has none.", Secret, secret=True),
    Variable("OIDC_AUDIENCE", "an audience", "the client id", "Whom access tokens for Patchbay's API are made for.", _word),
    Variable("OIDC_GROUPS_CLAIM", "a claim, or a dotted path to one", "groups", "Which claim names the groups of somebody.", _word),
    Variable(
        "OIDC_ADMINISTRATOR_GROUP",
        "the name of a group there",
        "",
        "Whose members are administrators: of those who sign in at the identity provider, they and nobody else.",
        _word,
    ),
)
