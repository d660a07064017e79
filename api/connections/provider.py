"""A connector's option together with one connection's values: what the protocol and the proof are given, every template filled in."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from api.catalog.connector import Connector, Discovery, OAuth2, Option, Pkce, PlacementLocation, Revocation, Template, Verification
from api.connections.secrets import Secrets
from api.oauth.http import OutboundRequest
from api.oauth.tokens import AuthorizationServer, BodyFormat, ClientAuthentication, ClientCredentials, RevocationEndpoint, TokenPaths
from api.secret import Secret


@dataclass(frozen=True, slots=True)
class Provider:
    """What a connection talks to. `site` are its values that are no secret."""

    connector: Connector
    option: Option
    site: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.connector.name

    @property
    def host(self) -> str:
        """The host that renews or proves the credential: what pacing and failures are counted by."""
        template = self.option.oauth2.token_url if self.option.oauth2 else self.option.base_url or self.connector.base_url
        return urlsplit(template.render(self._values())).netloc.lower()

    def server(self, *, secrets: Secrets | None = None, client_id: str = "") -> AuthorizationServer:
        """The provider's authorization server. Only for options with OAuth 2.0."""
        oauth2 = self._oauth2
        values = self._values(secrets) | {"client_id": client_id}
        render = _Renderer(values)
        refresh = oauth2.refresh
        return AuthorizationServer(
            token_url=render.text(oauth2.token_url),
            authorize_url=render.optional(oauth2.authorize_url),
            refresh_url=render.optional(refresh.url),
            revoke_url=render.optional(oauth2.revocation.url if oauth2.revocation else None),
            issuer=render.optional(oauth2.issuer),
            sends_issuer=oauth2.sends_issuer,
            client_authentication=ClientAuthentication(oauth2.client_authentication),
            refresh_client_authentication=_client_authentication(refresh.client_authentication),
            pkce=oauth2.pkce is not Pkce.UNSUPPORTED,
            scope_parameter=oauth2.scope_parameter,
            scope_separator=oauth2.scope_separator,
            granted_scope_separator=oauth2.granted_scope_separator,
            body_format=BodyFormat(oauth2.body_format),
            authorize_parameters=render.all(oauth2.authorize_parameters),
            token_parameters=render.all(oauth2.token_parameters),
            refresh_parameters=render.all(refresh.parameters),
            token_headers=oauth2.token_headers,
            paths=TokenPaths(**oauth2.token_paths),
            accepts_form_answer=oauth2.accepts_form_answer,
            token_types=frozenset(oauth2.token_types),
            default_lifetime=oauth2.default_lifetime,
            capture=oauth2.token_capture,
        )

    def verification(self, verification: Verification, secrets: Secrets) -> OutboundRequest:
        """The request that proves the credential, with the credential put in."""
        values = self._values(secrets)
        render = _Renderer(values)
        headers = {name: template.render(values) for name, template in self.connector.headers.items()}
        headers |= render.all(verification.headers) | self._credential(values, PlacementLocation.HEADER)
        url = render.text(verification.url)
        query = self._credential(values, PlacementLocation.QUERY)
        if query:
            pairs = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query.items())
            url += ("&" if "?" in url else "?") + pairs
        body = None if verification.body is None else verification.body.render(values).encode()
        return OutboundRequest(verification.method, url, headers, body)

    def discovery(self, discovery: Discovery, secrets: Secrets) -> OutboundRequest:
        """The request that finds the account which a grant is for."""
        values = self._values(secrets)
        headers = {"Accept": "application/json"} | self._credential(values, PlacementLocation.HEADER)
        return OutboundRequest("GET", discovery.url.render(values), headers)

    def revocation(self, revocation: Revocation, client: ClientCredentials, secrets: Secrets, account: str | None) -> RevocationEndpoint:
        """Where and how the grant is ended. A parameter whose names have no value is left out."""
        known = {
            "token": secrets.refresh_token or secrets.access_token,
            "refresh_token": secrets.refresh_token,
            "client_secret": client.client_secret,
        }
        values = self._values(secrets) | {name: value.reveal() for name, value in known.items() if value is not None}
        values |= {"client_id": client.client_id} | ({} if account is None else {"account": account})
        render = _Renderer(values)
        sent = {name: value for name, value in revocation.parameters.items() if value.names <= values.keys()}
        return RevocationEndpoint(
            # An id is one step of a path, whatever it holds.
            url=revocation.url.render(values | {"client_id": quote(client.client_id, safe="")}),
            method=revocation.method,
            client_authentication=_client_authentication(revocation.client_authentication),
            body_format=BodyFormat(revocation.body_format),
            parameters={name: Secret(value) for name, value in render.all(sent).items()},
            headers=render.all(revocation.headers),
        )

    def _credential(self, values: Mapping[str, str], location: PlacementLocation) -> dict[str, str]:
        option = self.option
        if option.basic is not None and location is PlacementLocation.HEADER:
            return {"Authorization": _basic(option.basic.username.render(values), option.basic.password.render(values))}
        return dict(placement.render(values) for placement in option.placements if placement.location is location)

    @property
    def _oauth2(self) -> OAuth2:
        if self.option.oauth2 is None:
            raise TypeError(f"{self.connector.key} has no OAuth 2.0 in {self.option.type}")
        return self.option.oauth2

    def _values(self, secrets: Secrets | None = None) -> dict[str, str]:
        """All that a template may name: defaults, then what is known of this connection."""
        fields = self.connector.fields_for(self.option)
        values = {field.name: field.default or "" for field in fields if not field.required or field.default is not None}
        values |= {**self.connector.constants, **self.site}
        if secrets is not None:
            values |= {name: value.reveal() for name, value in secrets.fields.items()}
            if secrets.access_token is not None:
                values["access_token"] = secrets.access_token.reveal()
        return values


def _basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


class _Renderer:
    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def text(self, template: Template) -> str:
        return template.render(self._values)

    def optional(self, template: Template | None) -> str | None:
        return None if template is None else self.text(template)

    def all(self, templates: Mapping[str, Template]) -> dict[str, str]:
        return {name: self.text(template) for name, template in templates.items()}


def _client_authentication(name: str | None) -> ClientAuthentication | None:
    return None if name is None else ClientAuthentication(name)
