"""Postman collections 2.0 and 2.1: requests that somebody kept, with what they are authenticated by.

What people type into a collection may be a credential of theirs. So of an authentication only the kind, the place and the names are
taken, and never a value, but for addresses and scopes.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from api.catalog.descriptions.bounds import Table
from api.catalog.descriptions.description import Description, Flow, Operation, Scheme, SchemeKind, Server, Variable
from api.catalog.descriptions.document import Document, line, listed, text
from api.catalog.descriptions.openapi import LOCATIONS, exhaustion
from api.catalog.using import PlacementLocation
from models import AuthenticationType

_GRANTS = {
    "authorization_code": AuthenticationType.OAUTH2_AUTHORIZATION_CODE,
    "authorization_code_with_pkce": AuthenticationType.OAUTH2_AUTHORIZATION_CODE,
    "client_credentials": AuthenticationType.OAUTH2_CLIENT_CREDENTIALS,
    "password_credentials": AuthenticationType.OAUTH2_PASSWORD,
}
_MOST_REQUESTS = 5_000
_DEEPEST = 50
_MOST_SETTINGS = 100
_LONGEST_VALUE = 2_000
_NAME = re.compile(r"\{\{([^{}]{1,100})\}\}")
# A variable in a path, as Postman writes it.
_STEP = re.compile(r"(?<=/):[A-Za-z_][A-Za-z0-9_-]{0,60}")
# A word in front of what stands for the credential: no credential itself.
_FORMAT = re.compile(r"([A-Za-z][A-Za-z0-9_-]{0,20}[ =])?\{\{[^{}]{1,100}\}\}")
_ADDRESS = re.compile(r"https?://[!-z|~]+|([a-z0-9-]+\.)+[a-z]{2,}(:[0-9]{1,5})?(/[!-z|~]*)?|localhost(:[0-9]{1,5})?", re.ASCII)
_VERSION = re.compile(r"v?[0-9]{1,3}(\.[0-9]{1,3})?", re.ASCII)
_PATH = re.compile(r"/[!\"$->@-z|~]{0,500}", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    scheme: str | None


@dataclass(slots=True)
class _Gathered:
    schemes: dict[tuple[Any, ...], Scheme] = field(default_factory=dict)
    uses: Counter[str] = field(default_factory=Counter)
    requests: list[_Request] = field(default_factory=list)


def read_postman(document: Document) -> Description:
    info = document.table(document.root.get("info"))
    values = _variables(document)
    gathered = _Gathered()
    for request, auth in _requests(document):
        scheme = _scheme_of(document, auth, request, values, gathered)
        name = None if scheme is None else scheme.name
        gathered.uses.update([name] if name else [])
        gathered.requests.append(_Request(text(request.get("method")) or "GET", _filled(_url(document, request), values), name))
    version = "2.0" if "v2.0" in text(info.get("schema")) else "2.1"
    base, servers = _servers(gathered.requests)
    return Description(
        format=f"Postman collection {version}",
        title=line(info.get("name")),
        servers=servers,
        schemes=tuple(_used(scheme, gathered.uses) for scheme in gathered.schemes.values()),
        operations=tuple(_operations(gathered.requests, base)),
        found=exhaustion(document),
    )


def _used(scheme: Scheme, uses: Counter[str]) -> Scheme:
    return replace(scheme, uses=uses[scheme.name])


def _requests(document: Document) -> Iterator[tuple[Table, Table]]:
    """Every request, and the authentication that holds for it: its own, or that of the nearest folder."""
    stack: list[tuple[Any, Table, int]] = [(document.root, {}, 0)]
    count = 0
    while stack and count < _MOST_REQUESTS:
        item, inherited, depth = stack.pop()
        auth = document.table(item.get("auth")) or inherited
        if "request" in item:
            count += 1
            asked = item["request"]
            request = {"url": asked} if isinstance(asked, str) else document.table(asked)
            yield request, document.table(request.get("auth")) or auth
        if depth < _DEEPEST:
            inside = [each for each in listed(item.get("item"), most=_MOST_REQUESTS) if isinstance(each, dict)]
            stack += [(each, auth, depth + 1) for each in reversed(inside)]


def _variables(document: Document) -> dict[str, str]:
    """The values of the collection's variables, of which only those that are addresses will be looked at."""
    values = {}
    for each in document.tables(document.root.get("variable")):
        name, value = text(each.get("key")) or text(each.get("id")), text(each.get("value"))
        if name and value and len(value) < _LONGEST_VALUE:
            values[name] = value
    return values


def _url(document: Document, request: Table) -> str:
    url = request.get("url")
    if isinstance(url, str):
        return url[:_LONGEST_VALUE]
    table = document.table(url)
    raw = text(table.get("raw"))
    if raw:
        return raw[:_LONGEST_VALUE]
    host = ".".join(text(part) for part in listed(table.get("host")))
    path = "/".join(text(part) for part in listed(table.get("path")))
    return f"{text(table.get('protocol')) or 'https'}://{host}/{path}"[:_LONGEST_VALUE]


def _filled(url: str, values: Mapping[str, str]) -> str:
    """With the variables of the collection where they are an address or a part of one; others stay names."""

    def value(match: re.Match[str]) -> str:
        found = values.get(match[1].strip(), "")
        return found if _may_be_told(found, match.string[: match.start()]) else "{" + match[1].strip() + "}"

    # What a variable holds may name another one.
    for _ in range(3):
        url = _NAME.sub(value, url)[:_LONGEST_VALUE]
    return _STEP.sub(lambda match: "{" + match[0][1:] + "}", url)


def _may_be_told(value: str, before: str) -> bool:
    """Whether a value is an address, or a version in a path: whatever else a variable holds may be a credential."""
    if "/" in before.removeprefix("https://").removeprefix("http://"):
        return "?" not in before and _VERSION.fullmatch(value) is not None
    return _ADDRESS.fullmatch(value) is not None


def _servers(requests: list[_Request]) -> tuple[str, tuple[Server, ...]]:
    """The address in front of most requests, and all that there are, by how many have them."""
    counted: Counter[str] = Counter(base for request in requests if (base := _base_of(request.url)))
    servers = tuple(Server(base, "item", _names_in(base)) for base, _ in counted.most_common(10))
    return (servers[0].url if servers else "", servers)


def _names_in(base: str) -> dict[str, Variable]:
    return {name: Variable() for name in re.findall(r"\{([^{}]+)\}", base)}


def _base_of(url: str) -> str:
    """Scheme and host; where the whole of that is a name that nobody explains, the name."""
    match = re.match(r"(https?://[^/?#]+|\{[^{}]+\})", url)
    return match[1] if match else ""


def _operations(requests: list[_Request], base: str) -> Iterator[Operation]:
    for request in requests:
        if not base or request.method.upper() != "GET" or not request.url.startswith(base):
            continue
        # A query in a collection is an example: the path may do without.
        path = urlsplit(request.url[len(base) :]).path
        if _PATH.fullmatch(path):
            yield Operation(path, frozenset(filter(None, (request.scheme,))), is_open=request.scheme is None)


# Authentication


def _scheme_of(document: Document, auth: Table, request: Table, values: Mapping[str, str], gathered: _Gathered) -> Scheme | None:
    kind = text(auth.get("type")).lower()
    has_none = kind in ("", "noauth")
    scheme = _from_headers(document, request) if has_none else _scheme(kind, _settings(document, auth.get(kind)), values)
    if scheme is None:
        return None
    same = (
        scheme.kind,
        scheme.location,
        scheme.parameter,
        scheme.format,
        tuple((f.grant, f.token_url) for f in scheme.flows),
        scheme.problem,
    )
    if same not in gathered.schemes:
        gathered.schemes[same] = _named(scheme, len(gathered.schemes))
    return gathered.schemes[same]


def _named(scheme: Scheme, number: int) -> Scheme:
    return replace(scheme, name=f"{scheme.name} {number + 1}")


def _settings(document: Document, value: Any) -> dict[str, str]:
    """A list of key and value in version 2.1, an object in 2.0."""
    if isinstance(value, dict):
        return {name: each for name, each in islice(value.items(), _MOST_SETTINGS) if isinstance(each, str)}
    return {text(each.get("key")): text(each.get("value")) for each in document.tables(value)}


def _scheme(kind: str, settings: Mapping[str, str], values: Mapping[str, str]) -> Scheme:
    where = f"auth.{line(kind)}"
    match kind:
        case "bearer":
            return Scheme(kind, SchemeKind.BEARER, where)
        case "basic":
            return Scheme(kind, SchemeKind.BASIC, where)
        case "apikey":
            location = LOCATIONS.get(settings.get("in", "header"), PlacementLocation.HEADER)
            parameter = line(settings.get("key"))
            if parameter and "{{" not in parameter:
                format = _format_of(settings.get("value", ""))
                return Scheme(kind, SchemeKind.API_KEY, where, location=location, parameter=parameter, format=format)
        case "oauth2" if (grant := _GRANTS.get(settings.get("grant_type", "authorization_code"))) is not None:
            scopes = {scope: None for scope in settings.get("scope", "").split() if "{{" not in scope}
            token_url, authorize_url = (_filled(settings.get(name, ""), values) for name in ("accessTokenUrl", "authUrl"))
            return Scheme(kind, SchemeKind.OAUTH2, where, flows=(Flow(grant, token_url, authorize_url or None, scopes),))
    problem = "Of what Postman knows, API keys, Basic, bearer tokens and OAuth 2.0 are supported, the implicit grant excepted"
    return Scheme(kind, SchemeKind.UNSUPPORTED, where, problem=problem)


def _from_headers(document: Document, request: Table) -> Scheme | None:
    """Many collections write the header themselves."""
    for header in document.tables(request.get("header")):
        name, value = line(header.get("key")), text(header.get("value")).strip()
        format = _format_of(value)
        if name.lower() == "authorization" and format is not None:
            if format == "Bearer {token}":
                return Scheme("bearer", SchemeKind.BEARER, "request.header.Authorization")
            return Scheme("apikey", SchemeKind.API_KEY, "request.header.Authorization", parameter=name, format=format)
        if re.search(r"api[-_]?key|token", name, re.IGNORECASE) and format is not None:
            return Scheme("apikey", SchemeKind.API_KEY, f"request.header.{name}", parameter=name, format=format)
    return None


def _format_of(value: str) -> str | None:
    """How a credential is written, where a name stands for it."""
    match = _FORMAT.fullmatch(value.strip())
    return None if match is None else f"{match[1] or ''}{{token}}"
