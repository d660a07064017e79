"""OpenAPI 3.0, 3.1 and 3.2: servers, security schemes, and requests to prove a credential with."""

import re
from dataclasses import replace
from itertools import islice
from typing import Any

from api.catalog.descriptions.bounds import Table
from api.catalog.descriptions.description import Description, Finding, FindingKind, Flow, Scheme, SchemeKind, Server, Variable
from api.catalog.descriptions.document import Document, line, listed, text
from api.catalog.descriptions.operations import Operations, read_operations
from api.catalog.using import PlacementLocation
from models import AuthenticationType

LOCATIONS = {"header": PlacementLocation.HEADER, "query": PlacementLocation.QUERY}

_GRANTS = {
    "authorizationCode": AuthenticationType.OAUTH2_AUTHORIZATION_CODE,
    "clientCredentials": AuthenticationType.OAUTH2_CLIENT_CREDENTIALS,
    "password": AuthenticationType.OAUTH2_PASSWORD,
}
_OFFICE = re.compile(
    r"(?i)(^|\s+)((the|api|apis|developers?|customer|technical|tech|sales|product|engineering|&|and|support|help ?desk|help|team|contact|"
    r"relations|repository|github|documentation|docs|us)\s*)+$"
)
_LONGEST_VALUE = 300
_MOST_SCOPES = 1_000


def read_openapi(document: Document, version: str) -> Description:
    schemes = _schemes(document)
    operations = read_operations(document, key_parameters(schemes))
    return described(document, f"OpenAPI {version}", schemes, operations, servers=_servers(document))


def described(
    document: Document, format: str, schemes: tuple[Scheme, ...], operations: Operations, *, servers: tuple[Server, ...]
) -> Description:
    """A description, with what OpenAPI and Swagger say in the same way."""
    info = document.table(document.root.get("info"))
    documentation = document.table(document.root.get("externalDocs")).get("url")
    return Description(
        format=format,
        title=line(info.get("title")),
        vendor=_vendor(line(document.table(info.get("contact")).get("name"))),
        documentation_url=text(documentation) or None,
        servers=servers,
        schemes=tuple(with_uses(scheme, operations) for scheme in schemes),
        operations=tuple(operations.proofs),
        found=exhaustion(document),
        together=operations.usually_together,
    )


def exhaustion(document: Document) -> tuple[Finding, ...]:
    if not document.is_exhausted:
        return ()
    return (Finding(FindingKind.IGNORED, "", "It is so large, or refers to so much, that only a part of it was looked at."),)


def _vendor(contact: str) -> str | None:
    """Whose service it is, by whom one writes to: without the words for those who read that."""
    return _OFFICE.sub("", contact).strip() or None


def with_uses(scheme: Scheme, operations: Operations) -> Scheme:
    return replace(scheme, uses=operations.uses[scheme.name])


def key_parameters(schemes: tuple[Scheme, ...]) -> frozenset[str]:
    return frozenset(scheme.parameter.lower() for scheme in schemes if scheme.parameter)


def _servers(document: Document) -> tuple[Server, ...]:
    found = []
    for number, server in enumerate(document.tables(document.root.get("servers"))):
        variables = {name: _variable(each) for name, each in document.tables_in(server.get("variables"))}
        found.append(Server(text(server.get("url")), f"servers.{number}", variables))
    # That is what a document without servers says (OpenAPI 3.0 section 4.7.1.1).
    return tuple(found) or (Server("/", "servers"),)


def _variable(table: Table) -> Variable:
    return Variable(
        default=_value(table.get("default")),
        choices=tuple(filter(None, map(_value, listed(table.get("enum"))))),
        description=line(table.get("description"), longest=300) or None,
    )


def _value(given: Any) -> str | None:
    is_one = isinstance(given, str) or (isinstance(given, int) and not isinstance(given, bool))
    return str(given) if is_one and len(str(given)) <= _LONGEST_VALUE else None


def _schemes(document: Document) -> tuple[Scheme, ...]:
    components = document.table(document.root.get("components"))
    named = document.tables_in(components.get("securitySchemes"))
    return tuple(_scheme(document, name, table) for name, table in named)


def _scheme(document: Document, name: str, table: Table) -> Scheme:
    where, description = f"components.securitySchemes.{line(name)}", line(table.get("description"), longest=1_000)
    match text(table.get("type")).lower():
        case "apikey":
            return key_scheme(name, table, where, description)
        case "http":
            return _http_scheme(name, table, where, description)
        case "oauth2":
            return _oauth2_scheme(document, name, table, where, description)
        case "openidconnect":
            url = text(table.get("openIdConnectUrl")) or None
            return Scheme(name, SchemeKind.OPENID_CONNECT, where, description, discovery_url=url)
        case "mutualtls":
            return unsupported(name, where, "Certificates of clients are not supported")
    return unsupported(name, where, "Its type is none that is known here")


def key_scheme(name: str, table: Table, where: str, description: str) -> Scheme:
    location, parameter = LOCATIONS.get(text(table.get("in"))), line(table.get("name"))
    if location is None or not parameter:
        return unsupported(name, where, "An API key goes into a header or into the query here, and never into a cookie")
    return Scheme(name, SchemeKind.API_KEY, where, description, location=location, parameter=parameter)


def unsupported(name: str, where: str, problem: str) -> Scheme:
    return Scheme(name, SchemeKind.UNSUPPORTED, where, problem=problem)


def _http_scheme(name: str, table: Table, where: str, description: str) -> Scheme:
    match text(table.get("scheme")).lower():
        case "bearer":
            return Scheme(name, SchemeKind.BEARER, where, description)
        case "basic":
            return Scheme(name, SchemeKind.BASIC, where, description)
    return unsupported(name, where, "Of HTTP authentication, Basic and Bearer are supported, and no other such as Digest")


def _oauth2_scheme(document: Document, name: str, table: Table, where: str, description: str) -> Scheme:
    flows = []
    for kind, flow in document.tables_in(table.get("flows")):
        if kind in _GRANTS:
            authorize_url = text(flow.get("authorizationUrl")) or None
            flows.append(Flow(_GRANTS[kind], text(flow.get("tokenUrl")), authorize_url, scopes_of(document, flow)))
    if not flows:
        return unsupported(
            name, where, "It has only flows that are not supported, such as the implicit one, which nobody should use any more"
        )
    return Scheme(name, SchemeKind.OAUTH2, where, description, flows=tuple(flows))


def scopes_of(document: Document, flow: Table) -> dict[str, str | None]:
    scopes = islice(document.table(flow.get("scopes")).items(), _MOST_SCOPES)
    return {name: line(description, longest=300) or None for name, description in scopes}
