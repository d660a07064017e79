"""A provider's authorization server, as its connector describes it, every template filled in."""

from collections.abc import Mapping

from api.catalog.connector import Option
from api.catalog.grant import Assertion, Grant, Pkce
from api.catalog.template import Template
from api.oauth import tokens
from api.oauth.tokens import AuthorizationServer, BodyFormat, ClientAuthentication, TokenPaths
from api.secret import Secret


class Renderer:
    """Fills values in, and remembers which names were asked for, whether or not they have a value."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.named: set[str] = set()

    def text(self, template: Template) -> str:
        self.named |= template.names
        return template.render(self._values)

    def document(self, template: Template) -> str:
        self.named |= template.names
        return template.render_document(self._values)

    def optional(self, template: Template | None) -> str | None:
        return None if template is None else self.text(template)

    def known(self, template: Template | None) -> str | None:
        """The text, as soon as all that it names is known."""
        if template is None:
            return None
        self.named |= template.names
        return self.text(template) if template.names <= self._values.keys() else None

    def all(self, templates: Mapping[str, Template]) -> dict[str, str]:
        """Every entry, but for those that name what is not known yet, or nothing but what is empty."""
        return {name: self.text(template) for name, template in templates.items() if self._is_worth(template)}

    def _is_worth(self, template: Template) -> bool:
        names = template.names
        self.named |= names
        return names <= self._values.keys() and (not names or any(self._values[name] for name in names))


def server_of(grant: Grant, option: Option, render: Renderer) -> AuthorizationServer:
    """Raises KeyError where it names what has no value."""
    refresh = grant.refresh
    return AuthorizationServer(
        # Before the callback it may name a value that is still to come.
        token_url=render.known(grant.token_url) or "",
        token_method=grant.token_method,
        refresh_method=refresh.method,
        grant_type=grant.grant_type,
        token_body=None if grant.token_body is None else Secret(render.document(grant.token_body)),
        token_basic=None
        if grant.token_basic is None
        else (render.text(grant.token_basic.username), Secret(render.text(grant.token_basic.password))),
        assertion=None if grant.assertion is None else _assertion(grant.assertion, render),
        authorize_url=render.optional(grant.authorize_url),
        refresh_url=render.known(refresh.url),
        revoke_url=None,
        issuer=render.optional(grant.issuer),
        sends_issuer=grant.sends_issuer,
        client_authentication=ClientAuthentication(grant.client_authentication),
        refresh_client_authentication=client_authentication(refresh.client_authentication),
        pkce=grant.pkce is not Pkce.UNSUPPORTED,
        scope_parameter=grant.scope_parameter,
        scope_separator=grant.scope_separator,
        granted_scope_separator=grant.granted_scope_separator,
        body_format=BodyFormat(grant.body_format),
        scope_parameters={render.text(Template(scope.name)): scope.parameter for scope in option.scopes if scope.parameter},
        authorize_parameters=render.all(grant.authorize_parameters),
        token_parameters=render.all(grant.token_parameters),
        refresh_parameters=render.all(refresh.parameters),
        token_headers=render.all(grant.token_headers),
        paths=TokenPaths(**grant.token_paths),
        refresh_paths=None if refresh.token_paths is None else TokenPaths(**refresh.token_paths),
        accepts_form_answer=grant.accepts_form_answer,
        token_types=frozenset(grant.token_types),
        default_lifetime=grant.default_lifetime,
        refresh_lifetime=grant.refresh_lifetime,
        capture=grant.token_capture,
    )


def client_authentication(name: str | None) -> ClientAuthentication | None:
    return None if name is None else ClientAuthentication(name)


def _assertion(assertion: Assertion, render: Renderer) -> tokens.Assertion:
    passphrase = render.optional(assertion.passphrase)
    return tokens.Assertion(
        key=Secret(render.text(assertion.key)),
        passphrase=Secret(passphrase) if passphrase else None,
        algorithm=assertion.algorithm,
        use=tokens.AssertionUse(assertion.use),
        lifetime=assertion.lifetime,
        header=render.all(assertion.header),
        claims=render.all(assertion.claims),
    )
