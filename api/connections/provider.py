"""A connector's option together with one connection's values: what the protocol and the proof are given, every template filled in."""

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from urllib.parse import quote, urlencode, urlsplit

from api.catalog.connector import Connector, Option
from api.catalog.grant import Discovery, Grant, Revocation
from api.catalog.template import Template
from api.catalog.using import AwsSignature, PlacementLocation, Signature, Verification
from api.connections.presentation import Presentation
from api.connections.secrets import Secrets
from api.connections.servers import Renderer, client_authentication, server_of
from api.oauth.signing import AwsCredentials, OAuth1Credentials, sign_for_aws, sign_with_oauth1
from api.oauth.tokens import AuthorizationServer, BodyFormat, ClientCredentials, RevocationEndpoint
from api.outbound.http import OutboundRequest
from api.outbound.logins import Login
from api.secret import Secret

_ACCEPT_JSON = {"Accept": "application/json"}
_ORIGIN = re.compile("(https?://)?[^/?#]*")
# What a server may name that is neither the connector's nor in a field.
_OF_A_REQUEST = frozenset({"client_id", "client_secret", "redirect_uri", "access_token"})
# Whoever takes one of these takes any.
_ANY_HOST = ("host.example", "https://host.example", "https://host.example/token")


# Without slots: what is worked out of it is kept with it.
@dataclass(frozen=True)
class Provider:
    """What a connection talks to. `site` are its values that are no secret."""

    connector: Connector
    option: Option
    site: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.connector.name

    @cached_property
    def host(self) -> str:
        """The host that renews the credential, or else proves it."""
        grant = self.option.grant
        return self._host_of(None if grant is None else grant.token_url)

    @property
    def takes_any_host(self) -> bool:
        """Whether a person names where tokens come from, and may name any host and not only one of the vendor's."""
        grant = self.option.grant
        if grant is None or grant.token_url is None:
            return False
        host = grant.token_url.text.removeprefix("https://").partition("/")[0]
        # What comes behind a name bounds it.
        named = Template(host).names if host.endswith("}") else ()
        fields = [field for field in self.connector.fields_for(self.option) if field.name in named]
        return any(field.problem(host) is None for field in fields for host in _ANY_HOST)

    @property
    def proof_host(self) -> str:
        """The host that proves the credential, as far as it is known before the request is made."""
        return self._host_of(None)

    @property
    def addresses(self) -> frozenset[str]:
        """Where the credential goes: the origins of the API and of its proofs, and in full where tokens are got, renewed and ended."""
        option, grant = self.option, self.option.grant
        used = [self.connector.base_url_for(option), *(verification.url for verification in option.verifications)]
        found = {_ORIGIN.match(self._rendered(url))[0] for url in used}  # type: ignore[index]  # it matches every text
        if grant is not None:
            tokens = [grant.token_url, grant.refresh.url, None if grant.revocation is None else grant.revocation.url]
            found |= {self._rendered(url) for url in tokens if url is not None}
        return frozenset(found)

    def _rendered(self, template: Template) -> str:
        """The text, with names in it for what is not known."""
        values = self._values()
        return template.render({name: values.get(name, f"{{{name}}}") for name in template.names})

    def _host_of(self, url: Template | None) -> str:
        if self.option.login is not None:
            return self.option.login.host.render(self._values()).lower()
        templates = url, self.option.base_url, self.connector.base_url
        # Most are the same for everybody.
        render = Renderer(self._values() if any(template is not None and template.names for template in templates) else {})
        for template in templates:
            if known := render.known(template):
                return urlsplit(known).netloc.lower()
        return self.connector.key

    @property
    def grant(self) -> Grant:
        """How tokens are got. Only for options that have them."""
        if self.option.grant is None:
            raise TypeError(f"{self.connector.key} has no tokens in {self.option.key}")
        return self.option.grant

    @property
    def mandatory_scopes(self) -> tuple[str, ...]:
        return tuple(Template(name).render(self._values()) for name in self.option.mandatory_scopes)

    @property
    def default_scopes(self) -> tuple[str, ...]:
        return tuple(Template(name).render(self._values()) for name in self.option.default_scopes)

    def missing_scopes(self, asked: Iterable[str], granted: Iterable[str]) -> list[str]:
        """What was asked for and not granted, as far as the provider's answer tells."""
        if self.grant.scopes_unanswered:
            return []
        same = str.casefold if self.grant.scopes_ignore_case else str
        answered = {same(name) for name in granted}
        known = {Template(scope.name).render(self._values()): scope for scope in self.option.scopes}
        return [
            name
            for name in asked
            if not (name in known and not known[name].answered)
            and answered.isdisjoint({same(name), *(same(other) for other in (known[name].answered_as if name in known else ()))})
        ]

    def server(
        self, *, secrets: Secrets | None = None, client: ClientCredentials | None = None, redirect_uri: str = ""
    ) -> AuthorizationServer:
        """The provider's authorization server. Only for options that have tokens."""
        shared = self._shared_server
        fields = {} if secrets is None else secrets.fields
        if shared is not None and shared.named.isdisjoint(fields):
            return replace(shared.server, secrets=tuple(fields.values())) if fields else shared.server
        client = client or ClientCredentials("")
        values = self._values(secrets) | {"client_id": client.client_id, "redirect_uri": redirect_uri}
        if client.client_secret is not None:
            values["client_secret"] = client.client_secret.reveal()
        return replace(server_of(self.grant, self.option, Renderer(values)), secrets=tuple(fields.values()))

    @cached_property
    def _shared_server(self) -> "_Shared | None":
        """The server for all who have no values of their own for what it names; None where it names what is of each request."""
        render = Renderer(self._values())
        try:
            server = server_of(self.grant, self.option, render)
        # What is named is to come: it is among the secrets, or of the request.
        except KeyError:
            return None
        return None if render.named & _OF_A_REQUEST else _Shared(server, frozenset(render.named))

    def client(self, secrets: Secrets) -> ClientCredentials:
        """The client that was typed in, for a grant without an app. One that names none has an empty id."""
        client_id = self._values(secrets).get("client_id", "")
        return ClientCredentials(client_id, secrets.fields.get("client_secret"))

    def verification(self, verification: Verification, secrets: Secrets) -> OutboundRequest:
        """The request that proves the credential, with the credential put in. Raises UnusableKey."""
        values = self._values(secrets)
        render = Renderer(values)
        headers = render.all(verification.headers)
        body = None
        if verification.body is not None:
            body = verification.body.render_document(values).encode()
        elif verification.form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode({name: template.render_document(values) for name, template in verification.form.items()}).encode()
        request = OutboundRequest(verification.method, render.text(verification.url), headers, body)
        return self._asking(request, values, verification.signature or self.option.signature)

    def discovery(self, discovery: Discovery, secrets: Secrets) -> OutboundRequest:
        """The request that finds the account which a grant is for."""
        values = self._values(secrets)
        headers = Renderer(values).all(discovery.headers)
        request = OutboundRequest(discovery.method, discovery.url.render(values), _ACCEPT_JSON | headers)
        return request if headers else self._asking(request, values, self.option.signature)

    def login(self, secrets: Secrets) -> Login:
        """The login that proves the credential, where that is no request."""
        if self.option.login is None:
            raise TypeError(f"{self.connector.key} has no login in {self.option.key}")
        login, render = self.option.login, Renderer(self._values(secrets))
        return Login(
            protocol=login.protocol,
            host=render.text(login.host),
            port=int(render.text(login.port)),
            security=render.text(login.security),
            username=render.text(login.username),
            password=Secret(render.text(login.password)),
        )

    def account(self, secrets: Secrets) -> str | None:
        """What labels the connection where no answer does."""
        return None if self.option.account is None else self.option.account.render(self._values(secrets)) or None

    def revocation(self, revocation: Revocation, client: ClientCredentials, secrets: Secrets, account: str | None) -> RevocationEndpoint:
        """Where and how the grant is ended. A parameter whose names have no value is left out."""
        known = {
            "token": secrets.refresh_token or secrets.access_token,
            "refresh_token": secrets.refresh_token,
            "client_secret": client.client_secret,
        }
        values = self._values(secrets) | {name: value.reveal() for name, value in known.items() if value is not None}
        values |= {"client_id": client.client_id} | ({} if account is None else {"account": account})
        render = Renderer(values)
        sent = {name: value for name, value in revocation.parameters.items() if value.names <= values.keys()}
        # An id or a token is one step of a path, or one value of a query, whatever it holds.
        quoted = {name: quote(values[name], safe="") for name in ("client_id", "token", "access_token", "refresh_token") if name in values}
        return RevocationEndpoint(
            url=revocation.url.render(values | quoted),
            method=revocation.method,
            client_authentication=client_authentication(revocation.client_authentication),
            body_format=BodyFormat(revocation.body_format),
            body=None if revocation.body is None else Secret(revocation.body.render_document(values)),
            parameters={name: Secret(value) for name, value in render.all(sent).items()},
            headers=render.all(revocation.headers),
        )

    def base_url(self, secrets: Secrets) -> str | None:
        """Where its API is. It may be secret: some take their key as a part of the path."""
        return Renderer(self._values(secrets)).known(self.connector.base_url_for(self.option))

    @property
    def presented_names(self) -> frozenset[str]:
        """The names of what goes along with a call."""
        placed = [Template(placement.name).names | placement.value.names for placement in self.option.placements]
        basic = [] if self.option.basic is None else [self.option.basic.username.names, self.option.basic.password.names]
        headers = [template.names for template in (*self.connector.headers.values(), *self.option.headers.values())]
        return frozenset().union(*placed, *basic, *headers)

    def presentation(self, secrets: Secrets) -> Presentation:
        """The credential as it goes along with a call. Of one that signs calls, only what stands beside the signature."""
        return self._presentation(self._values(secrets))

    def authenticated(self, request: OutboundRequest, secrets: Secrets) -> OutboundRequest:
        """The request with the credential put in, signed where the provider wants that. Raises UnusableKey, EgressRefused."""
        values = self._values(secrets)
        return _signed(self._presentation(values).put_into(request), self.option.signature, values)

    def _asking(self, request: OutboundRequest, values: Mapping[str, str], signature: Signature | None) -> OutboundRequest:
        """A request of our own with the credential put in: what it wants is JSON, where the connector says nothing else."""
        request = self._presentation(values).put_into(request)
        return _signed(replace(request, headers={**_ACCEPT_JSON, **request.headers}), signature, values)

    def _presentation(self, values: Mapping[str, str]) -> Presentation:
        render = Renderer(values)
        placed = [(placement.location, *placement.render(values)) for placement in self.option.placements]
        credential = {name: value for location, name, value in placed if value and location is PlacementLocation.HEADER}
        if self.option.basic is not None:
            credential["Authorization"] = _basic(render.text(self.option.basic.username), render.text(self.option.basic.password))
        return Presentation(
            headers={**render.all(self.connector.headers), **render.all(self.option.headers)},
            credential_headers=credential,
            query={name: value for location, name, value in placed if value and location is PlacementLocation.QUERY},
        )

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


@dataclass(frozen=True, slots=True)
class _Shared:
    server: AuthorizationServer
    named: frozenset[str]


def _basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def _signed(request: OutboundRequest, signature: Signature | None, values: Mapping[str, str]) -> OutboundRequest:
    if signature is None:
        return request
    render = Renderer(values)
    if isinstance(signature, AwsSignature):
        token = values.get("session_token")
        credentials = AwsCredentials(
            values["access_key_id"], Secret(values["secret_access_key"]), session_token=Secret(token) if token else None
        )
        return sign_for_aws(request, credentials, service=render.text(signature.service), region=render.text(signature.region))
    token, token_secret = render.optional(signature.token), render.optional(signature.token_secret)
    return sign_with_oauth1(
        request,
        OAuth1Credentials(
            client_key=render.text(signature.consumer_key),
            client_secret=Secret(render.text(signature.consumer_secret)),
            token=None if token is None else Secret(token),
            token_secret=None if token_secret is None else Secret(token_secret),
        ),
        method=signature.method,
        realm=render.optional(signature.realm),
    )
