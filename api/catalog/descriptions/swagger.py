"""Swagger 2.0, which says in other words what OpenAPI says."""

from api.catalog.descriptions.bounds import Table
from api.catalog.descriptions.description import Description, Flow, Scheme, SchemeKind, Server
from api.catalog.descriptions.document import Document, line, listed, text
from api.catalog.descriptions.openapi import described, key_parameters, key_scheme, scopes_of, unsupported
from api.catalog.descriptions.operations import read_operations
from models import AuthenticationType

_GRANTS = {
    "accessCode": AuthenticationType.OAUTH2_AUTHORIZATION_CODE,
    "application": AuthenticationType.OAUTH2_CLIENT_CREDENTIALS,
    "password": AuthenticationType.OAUTH2_PASSWORD,
}


def read_swagger(document: Document) -> Description:
    named = document.tables_in(document.root.get("securityDefinitions"))
    schemes = tuple(_scheme(document, name, table) for name, table in named)
    operations = read_operations(document, key_parameters(schemes))
    return described(document, "Swagger 2.0", schemes, operations, servers=_servers(document))


def _servers(document: Document) -> tuple[Server, ...]:
    host, path = text(document.root.get("host")), text(document.root.get("basePath"))
    # Without a host it is where the document is.
    if not host:
        return (Server("/" + path.lstrip("/"), "basePath"),)
    named = [scheme for scheme in listed(document.root.get("schemes")) if scheme in ("https", "http")]
    return tuple(Server(f"{scheme}://{host}/{path.lstrip('/')}", "host") for scheme in sorted(set(named), reverse=True) or ("https",))


def _scheme(document: Document, name: str, table: Table) -> Scheme:
    where, description = f"securityDefinitions.{line(name)}", line(table.get("description"), longest=1_000)
    match text(table.get("type")).lower():
        case "apikey":
            return key_scheme(name, table, where, description)
        case "basic":
            return Scheme(name, SchemeKind.BASIC, where, description)
        case "oauth2" if (grant := _GRANTS.get(text(table.get("flow")))) is not None:
            authorize_url = text(table.get("authorizationUrl")) or None
            flow = Flow(grant, text(table.get("tokenUrl")), authorize_url, scopes_of(document, table))
            return Scheme(name, SchemeKind.OAUTH2, where, description, flows=(flow,))
        case "oauth2":
            return unsupported(name, where, "Its flow is not supported, such as the implicit one, which nobody should use any more")
    return unsupported(name, where, "Its type is none that is known here")
