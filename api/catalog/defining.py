"""From a definition to a connector: by the table of a connector file, read and linted as any other file.

On top of what a file is held to, a definition is bounded in size, its patterns cannot take for ever, its URLs pass the egress guard, and
what goes into a request cannot change what the request is. Every mistake is told by the field's name as whoever defines it knows it.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from api.catalog.catalog import KEY
from api.catalog.connector import Connector
from api.catalog.definition import ConnectorDefinition, OAuth2Definition, PlacementDefinition
from api.catalog.document import CONSENT, GRANTS, Document, document_of
from api.catalog.patterns import pattern_problem
from api.catalog.reading import read_connector
from api.catalog.table import Mistake, Mistakes, Table
from api.catalog.template import Template
from api.catalog.using import PlacementLocation
from api.errors import InvalidInput
from api.names import name_problem
from api.outbound.egress import EgressGuard, EgressRefused

_LONGEST_TEXT = 2_000
_LONGEST_NAME = 100
_MOST = 100
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TOKEN = "{token}"
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", re.ASCII)
# What says where a request goes and where it ends.
_FRAMING = {"host", "connection", "content-length", "content-type", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
_OAUTH2_TABLES = frozenset({"consent", *GRANTS.values()})
_HOST = re.compile(r"(https?://[^/?#]*)(.*)", re.DOTALL)

_NAMES = {"base_url": "baseUrl", "documentation": "documentationUrl"}
_OAUTH2_NAMES = {
    "authorize_url": "authorizeUrl",
    "token_url": "tokenUrl",
    "issuer": "issuer",
    "scope_separator": "scopeSeparator",
    "revoke": "revokeUrl",
    "scopes": "scopes",
    "authorize_parameters": "authorizeParams",
    "token_parameters": "tokenParams",
    "client_authentication": "clientAuthentication",
}
_LISTS = ("scopes", "authorize_parameters", "token_parameters")
_TOKEN_TABLES = {"personal_access_token": "personalAccessToken", "api_key": "apiKey"}
# What the lint of files says in words of files.
_WORDS = {
    'it needs apps = ["own"]': "offer OAUTH2_BRING_YOUR_OWN_APP and not OAUTH2_AUTHORIZATION_CODE",
    "is a field of the whole connector already": "is what a way to authenticate asks for by itself",
    "it needs a pattern or options": "it needs a pattern",
}

Found = Iterator[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Defined:
    """A definition without a mistake: what a file would say, and the connector that it makes."""

    definition: ConnectorDefinition
    document: Document
    connector: Connector


def define(definition: ConnectorDefinition, guard: EgressGuard) -> Defined:
    """Raises InvalidInput with every mistake, by the field's path in the input."""
    found = [*_name_mistakes(definition), *_text_mistakes(definition), *_pattern_mistakes(definition)]
    if found:
        # It is not read then: reading goes by these names, and holds these patterns against values.
        raise _invalid(found)
    document = document_of(definition)
    connector, mistakes = read_document(definition.key, document)
    # One without a path is that nothing is offered, which is told in our own words.
    read = ((_path_in_input(mistake), _in_words(mistake.reason)) for mistake in mistakes if mistake.path)
    found = [*_own_mistakes(definition), *read]
    found += _address_mistakes(definition, guard)
    if found:
        raise _invalid(_without_echoes(found))
    return Defined(definition, document, connector)


def read_document(key: str, document: Mapping[str, Any]) -> tuple[Connector, tuple[Mistake, ...]]:
    """What the table of a connector file says; worth something only where it made no mistake."""
    mistakes = Mistakes(key)
    root = Table(document, mistakes)
    connector = read_connector(key, root)
    root.complain_about_the_rest()
    return connector, tuple(mistakes)


def _invalid(found: list[tuple[str, str]]) -> InvalidInput:
    told: dict[str, list[str]] = {}
    for path, reason in found:
        if reason not in told.setdefault(path, []):
            told[path].append(reason)
    return InvalidInput({path: "; ".join(reasons) for path, reasons in told.items()})


def _without_echoes(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """What is wrong with the base URL is wrong with every URL below it, and told once."""
    above = {reason for path, reason in found if path == "baseUrl"}
    return [(path, reason) for path, reason in found if path != "verify.path" or reason not in above]


# What a definition is held to besides


def _name_mistakes(definition: ConnectorDefinition) -> Found:
    """What cannot be the name of a field, or of a parameter. Such a name is not repeated."""
    for number, field in enumerate(definition.fields):
        if _FIELD.fullmatch(field.name) is None:
            yield f"fields.{number}.name", "must be lower case letters, digits and underscores, up to 63"
    oauth2 = definition.oauth2
    parameters = {} if oauth2 is None else {"authorizeParams": oauth2.authorize_parameters, "tokenParams": oauth2.token_parameters}
    for path, named in parameters.items():
        if any(name_problem(name, longest=_LONGEST_NAME) is not None for name in named):
            yield f"oauth2.{path}", f"must each have a name of 1 to {_LONGEST_NAME} characters that can be seen"


def _pattern_mistakes(definition: ConnectorDefinition) -> Found:
    for number, field in enumerate(definition.fields):
        problem = None if field.pattern is None else pattern_problem(field.pattern)
        if problem is not None:
            yield f"fields.{_field_name(field.name, number)}.pattern", problem


def _field_name(name: str, number: int) -> str:
    return name if _FIELD.fullmatch(name) else str(number)


def _text_mistakes(definition: ConnectorDefinition) -> Found:
    for path, text in _texts(asdict(definition)):
        # What may be empty is told below.
        problem = name_problem(f"_{text}", longest=_LONGEST_TEXT)
        if problem is not None:
            yield path, problem
    for name, count in _sizes(definition).items():
        if count > _MOST:
            yield name, f"must be at most {_MOST}"


def _sizes(definition: ConnectorDefinition) -> dict[str, int]:
    oauth2 = definition.oauth2
    sizes = {"fields": len(definition.fields)}
    if oauth2 is not None:
        sizes |= {"oauth2.scopes": len(oauth2.scopes), "oauth2.authorizeParams": len(oauth2.authorize_parameters)}
        sizes |= {"oauth2.tokenParams": len(oauth2.token_parameters)}
    return sizes


def _texts(value: Any, path: str = "") -> Found:
    """Every text of a definition with its path in the input."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, member in value.items():
            if path.endswith("Params"):
                # Their names are the provider's, and any text.
                yield from _texts(member, path)
            else:
                yield from _texts(member, f"{path}.{camel(key)}".removeprefix("."))
    elif isinstance(value, list | tuple):
        for number, member in enumerate(value):
            name = _field_name(member["name"], number) if path == "fields" else number
            yield from _texts(member, f"{path}.{name}")


def camel(name: str) -> str:
    first, *rest = name.replace("parameters", "params").split("_")
    return first + "".join(word.capitalize() for word in rest)


def _own_mistakes(definition: ConnectorDefinition) -> Found:
    if KEY.fullmatch(definition.key) is None:
        yield "key", "must be lower case letters, digits and hyphens, up to 64"
    for name, text in (("name", definition.name), ("baseUrl", definition.base_url)):
        if not text.strip():
            yield name, "must not be empty"
    if len(definition.name) > 120:
        yield "name", "must not be longer than 120 characters"
    if not (definition.oauth2 or definition.personal_access_token or definition.api_key or definition.basic):
        yield "oauth2", "nothing is offered: a connector needs oauth2, personalAccessToken, apiKey or basic"
    for name, count in Counter(field.name for field in definition.fields).items():
        if count > 1:
            yield f"fields.{name}", "is listed already"
    for field in definition.fields:
        if not field.label.strip():
            yield f"fields.{field.name}.label", "must not be empty"
    yield from _placement_mistakes("personalAccessToken", definition.personal_access_token)
    yield from _placement_mistakes("apiKey", definition.api_key)
    if definition.oauth2 is not None:
        yield from _oauth2_mistakes(definition, definition.oauth2)


def _placement_mistakes(path: str, placement: PlacementDefinition | None) -> Found:
    if placement is None:
        return
    if _TOKEN not in placement.format:
        yield f"{path}.format", f"must have {_TOKEN} in it"
    if placement.location is PlacementLocation.QUERY:
        if name_problem(placement.name) is not None or set(placement.name) & set("{}"):
            yield f"{path}.name", "is not the name of a query parameter"
    elif _HEADER.fullmatch(placement.name) is None:
        yield f"{path}.name", "is not the name of a header"
    elif placement.name.lower() in _FRAMING:
        yield f"{path}.name", "is a header that says where a request goes or ends, and not whose it is"


def _oauth2_mistakes(definition: ConnectorDefinition, oauth2: OAuth2Definition) -> Found:
    if not oauth2.grants:
        yield "oauth2.grants", "must not be empty"
    for grant in oauth2.grants:
        if grant not in (*CONSENT, *GRANTS):
            yield "oauth2.grants", f"{grant} is no grant of OAuth 2.0"
    if not oauth2.token_url.strip():
        yield "oauth2.tokenUrl", "must not be empty"
    # What stands in the address bar of a browser is no secret any more.
    secret = {field.name for field in definition.fields if field.secret}
    shown = {"oauth2.authorizeUrl": oauth2.authorize_url or ""}
    shown |= {f"oauth2.authorizeParams.{name}": value for name, value in oauth2.authorize_parameters.items()}
    for path, text in shown.items():
        for name in sorted(Template(text).names & secret):
            yield path, f"{{{name}}} is secret, and a browser would show it"


def _address_mistakes(definition: ConnectorDefinition, guard: EgressGuard) -> Found:
    oauth2 = definition.oauth2
    called = {"baseUrl": definition.base_url}
    if oauth2 is not None:
        urls = {"tokenUrl": oauth2.token_url, "revokeUrl": oauth2.revoke_url, "authorizeUrl": oauth2.authorize_url}
        called |= {f"oauth2.{name}": url for name, url in urls.items() if url}
    samples = {field.name: field.example or "acme" for field in definition.fields}
    for path, url in called.items():
        host = _HOST.fullmatch(url)
        # A whole URL that a person gives is looked at when it is called; all else that is no URL at all is told by reading.
        if host is None or not Template(host[1]).names <= samples.keys():
            continue
        try:
            guard.check(Template(host[1]).render(samples))
        except EgressRefused as refused:
            yield path, refused.problem


# The way back from a path in the file


def _path_in_input(mistake: Mistake) -> str:
    table, *rest = mistake.path.split(".")
    if table in _OAUTH2_TABLES:
        return _path_in_oauth2(rest)
    if table in _TOKEN_TABLES:
        return ".".join(rest[:2]) if rest[:1] == ["fields"] else f"{_TOKEN_TABLES[table]}.format"
    if table == "basic":
        return ".".join(rest[:2]) if rest[:1] == ["fields"] else "basic"
    return ".".join([_NAMES.get(table, table), *rest])


def _path_in_oauth2(rest: list[str]) -> str:
    if rest[:1] == ["fields"]:
        return ".".join(rest[:2])
    if not rest or rest[0] not in _OAUTH2_NAMES:
        return "oauth2.grants"
    below = rest[1:] if rest[0] in _LISTS else []
    return ".".join(["oauth2", _OAUTH2_NAMES[rest[0]], *below])


def _in_words(reason: str) -> str:
    for words, ours in _WORDS.items():
        reason = reason.replace(words, ours)
    return reason
