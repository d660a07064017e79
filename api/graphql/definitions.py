"""A connector of one's own as the graph says it: what is given to define one, and what reads the same back."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import strawberry

from api.catalog import definition as defined
from api.catalog.definition import ClientAuthentication
from api.catalog.using import PlacementLocation
from api.errors import InvalidInput
from api.graphql.connecting import FieldValueInput
from models import AuthenticationType

_FIELD_NAME = "What `{name}` stands for in URLs and formats: lower case, digits and underscores."
_PATTERN = "A regular expression that all of a value must match. What goes into a URL needs one, so that it cannot lead elsewhere."
_PATH = "Below the base URL, such as `/me`."
_ACCOUNT = "Where the JSON answer names the account: a dotted path, such as `user.email`."
_FORMAT = "The value with `{token}` in it, such as `Bearer {token}`."
_GRANTS = (
    "The OAuth 2.0 grants to offer. OAUTH2_AUTHORIZATION_CODE is for the operator's app, OAUTH2_BRING_YOUR_OWN_APP for apps of people."
)
_AUTHORIZE_URL = "Where a person consents; for the grants with consent."
_ISSUER = "The issuer, as the provider names it in its callback (RFC 9207)."
_PKCE = "Whether consent is bound by PKCE with S256 (RFC 7636)."
_PARAMETERS = "What else to send, beyond what the protocol says."


@strawberry.input(description="A value that everybody who connects is asked for.")
class CredentialFieldInput:
    name: str = strawberry.field(description=_FIELD_NAME)
    label: str = strawberry.field(description="What to call it in a form.")
    secret: bool | None = strawberry.field(default=False, description="Whether to hide what is typed.")
    required: bool | None = strawberry.field(default=True, description="Whether it must be given.")
    pattern: str | None = strawberry.field(default=None, description=_PATTERN)
    example: str | None = strawberry.field(default=None, description="What a value looks like.")
    help: str | None = strawberry.field(default=None, description="Where to find it, or what it is for.")

    def read(self) -> defined.FieldDefinition:
        return defined.FieldDefinition(
            name=self.name,
            label=self.label,
            secret=bool(self.secret),
            required=self.required is not False,
            pattern=self.pattern,
            example=self.example,
            help=self.help,
        )


@strawberry.input(description="The request that shows that a credential works.")
class VerifyRequestInput:
    path: str = strawberry.field(description=_PATH)
    method: str | None = strawberry.field(default="GET", description="Its method.")
    account: str | None = strawberry.field(default=None, description=_ACCOUNT)

    def read(self) -> defined.VerifyDefinition:
        return defined.VerifyDefinition(self.path, self.method or "GET", self.account)


@strawberry.input(description="A scope that can be asked for.")
class ScopeOptionInput:
    name: str = strawberry.field(description="As the provider calls it.")
    mandatory: bool | None = strawberry.field(default=False, description="Whether the connector cannot do without it.")
    default: bool | None = strawberry.field(default=False, description="Whether it is asked for where no scopes are named.")
    description: str | None = strawberry.field(default=None, description="What it allows.")

    def read(self) -> defined.ScopeDefinition:
        return defined.ScopeDefinition(self.name, bool(self.mandatory), bool(self.default), self.description)


@strawberry.input(description="Where a credential goes in a call.")
class PlacementInput:
    in_: PlacementLocation | None = strawberry.field(
        name="in", default=PlacementLocation.HEADER, description="In a header, or in the query."
    )
    name: str | None = strawberry.field(default="Authorization", description="Of the header, or of the query parameter.")
    format: str | None = strawberry.field(default="Bearer {token}", description=_FORMAT)

    def read(self) -> defined.PlacementDefinition:
        usual = defined.PlacementDefinition()
        return defined.PlacementDefinition(self.in_ or usual.location, self.name or usual.name, self.format or usual.format)


@strawberry.input(description="One authorization server, and the grants that are offered of it.")
class OAuth2DefinitionInput:
    grants: list[AuthenticationType] = strawberry.field(description=_GRANTS)
    authorize_url: str | None = strawberry.field(default=None, description=_AUTHORIZE_URL)
    token_url: str = strawberry.field(description="Where tokens are asked for.")
    revoke_url: str | None = strawberry.field(default=None, description="Where tokens are revoked (RFC 7009).")
    issuer: str | None = strawberry.field(default=None, description=_ISSUER)
    client_authentication: ClientAuthentication | None = strawberry.field(
        default=ClientAuthentication.CLIENT_SECRET_BASIC, description="How an app proves itself."
    )
    pkce: bool | None = strawberry.field(default=True, description=_PKCE)
    scope_separator: str | None = strawberry.field(default=" ", description="What stands between scopes.")
    scopes: list[ScopeOptionInput] | None = strawberry.field(default=None, description="The scopes to choose from.")
    authorize_params: list[FieldValueInput] | None = strawberry.field(default=None, description=f"For consent: {_PARAMETERS.lower()}")
    token_params: list[FieldValueInput] | None = strawberry.field(default=None, description=f"For tokens: {_PARAMETERS.lower()}")

    def read(self) -> defined.OAuth2Definition:
        """Raises InvalidInput."""
        return defined.OAuth2Definition(
            grants=tuple(self.grants),
            token_url=self.token_url,
            authorize_url=self.authorize_url,
            revoke_url=self.revoke_url,
            issuer=self.issuer,
            client_authentication=self.client_authentication or ClientAuthentication.CLIENT_SECRET_BASIC,
            pkce=self.pkce is not False,
            scope_separator=self.scope_separator or " ",
            scopes=tuple(scope.read() for scope in self.scopes or ()),
            authorize_parameters=_parameters("oauth2.authorizeParams", self.authorize_params or ()),
            token_parameters=_parameters("oauth2.tokenParams", self.token_params or ()),
        )


@strawberry.input(description="A connector of one's own. Only what is set is offered.")
class ConnectorDefinitionInput:
    key: str = strawberry.field(description="Names it for good: lower case, digits and hyphens, up to 64.")
    name: str = strawberry.field(description="What people call it.")
    vendor: str | None = strawberry.field(default=None, description="Whose service it is.")
    category: str | None = strawberry.field(default="custom", description="What kind of service it is: lower case, with hyphens.")
    documentation_url: str | None = strawberry.field(default=None, description="Where the vendor explains authentication.")
    base_url: str = strawberry.field(description="Where its API is, such as `https://{subdomain}.example.com/v1`.")
    fields: list[CredentialFieldInput] | None = strawberry.field(default=None, description="What everybody who connects is asked for.")
    verify: VerifyRequestInput | None = strawberry.field(
        default=None, description="What shows that a credential works; without it, that a token was given, or nothing."
    )
    oauth2: OAuth2DefinitionInput | None = strawberry.field(name="oauth2", default=None, description="How it does OAuth 2.0.")
    personal_access_token: PlacementInput | None = strawberry.field(
        default=None, description="Offer personal access tokens: where one goes."
    )
    api_key: PlacementInput | None = strawberry.field(default=None, description="Offer API keys: where one goes.")
    basic: bool | None = strawberry.field(default=False, description="Offer user name and password, by HTTP Basic.")

    def read(self) -> defined.ConnectorDefinition:
        """The definition that this says, unchecked. Raises InvalidInput for what it cannot say at all."""
        return defined.ConnectorDefinition(
            key=self.key,
            name=self.name,
            base_url=self.base_url,
            vendor=self.vendor,
            category=self.category or "custom",
            documentation_url=self.documentation_url,
            fields=tuple(field.read() for field in self.fields or ()),
            verify=None if self.verify is None else self.verify.read(),
            oauth2=None if self.oauth2 is None else self.oauth2.read(),
            personal_access_token=None if self.personal_access_token is None else self.personal_access_token.read(),
            api_key=None if self.api_key is None else self.api_key.read(),
            basic=bool(self.basic),
        )


ConnectorDefinitionArgument = Annotated[ConnectorDefinitionInput, strawberry.argument(description="The connector.")]


def _parameters(path: str, given: Sequence[FieldValueInput]) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for parameter in given:
        if parameter.name in parameters:
            raise InvalidInput({f"{path}.{parameter.name}": "is listed already"})
        parameters[parameter.name] = parameter.value
    return parameters


@strawberry.type(description="A value that everybody who connects is asked for.")
class CredentialFieldDefinition:
    name: str = strawberry.field(description=_FIELD_NAME)
    label: str = strawberry.field(description="What to call it in a form.")
    secret: bool = strawberry.field(description="Whether to hide what is typed.")
    required: bool = strawberry.field(description="Whether it must be given.")
    pattern: str | None = strawberry.field(description=_PATTERN)
    example: str | None = strawberry.field(description="What a value looks like.")
    help: str | None = strawberry.field(description="Where to find it, or what it is for.")

    @classmethod
    def of(cls, field: defined.FieldDefinition) -> "CredentialFieldDefinition":
        return cls(
            name=field.name,
            label=field.label,
            secret=field.secret,
            required=field.required,
            pattern=field.pattern,
            example=field.example,
            help=field.help,
        )


@strawberry.type(description="The request that shows that a credential works.")
class VerifyRequestDefinition:
    path: str = strawberry.field(description=_PATH)
    method: str = strawberry.field(description="Its method.")
    account: str | None = strawberry.field(description=_ACCOUNT)

    @classmethod
    def of(cls, verify: defined.VerifyDefinition) -> "VerifyRequestDefinition":
        return cls(path=verify.path, method=verify.method, account=verify.account)


@strawberry.type(description="A scope that can be asked for.")
class ScopeOptionDefinition:
    name: str = strawberry.field(description="As the provider calls it.")
    mandatory: bool = strawberry.field(description="Whether the connector cannot do without it.")
    default: bool = strawberry.field(description="Whether it is asked for where no scopes are named.")
    description: str | None = strawberry.field(description="What it allows.")

    @classmethod
    def of(cls, scope: defined.ScopeDefinition) -> "ScopeOptionDefinition":
        return cls(name=scope.name, mandatory=scope.mandatory, default=scope.default, description=scope.description)


@strawberry.type(description="Where a credential goes in a call.")
class PlacementDefinition:
    in_: PlacementLocation = strawberry.field(name="in", description="In a header, or in the query.")
    name: str = strawberry.field(description="Of the header, or of the query parameter.")
    format: str = strawberry.field(description=_FORMAT)

    @classmethod
    def of(cls, placement: defined.PlacementDefinition | None) -> "PlacementDefinition | None":
        return None if placement is None else cls(in_=placement.location, name=placement.name, format=placement.format)


@strawberry.type(description="A parameter of a request.")
class ParameterDefinition:
    name: str = strawberry.field(description="Its name.")
    value: str = strawberry.field(description="Its value.")

    @classmethod
    def all(cls, parameters: Mapping[str, str]) -> "list[ParameterDefinition]":
        return [cls(name=name, value=value) for name, value in parameters.items()]


@strawberry.type(description="One authorization server, and the grants that are offered of it.")
class OAuth2Definition:
    grants: list[AuthenticationType] = strawberry.field(description=_GRANTS)
    authorize_url: str | None = strawberry.field(description=_AUTHORIZE_URL)
    token_url: str = strawberry.field(description="Where tokens are asked for.")
    revoke_url: str | None = strawberry.field(description="Where tokens are revoked (RFC 7009).")
    issuer: str | None = strawberry.field(description=_ISSUER)
    client_authentication: ClientAuthentication = strawberry.field(description="How an app proves itself.")
    pkce: bool = strawberry.field(description=_PKCE)
    scope_separator: str = strawberry.field(description="What stands between scopes.")
    scopes: list[ScopeOptionDefinition] = strawberry.field(description="The scopes to choose from.")
    authorize_params: list[ParameterDefinition] = strawberry.field(description=f"For consent: {_PARAMETERS.lower()}")
    token_params: list[ParameterDefinition] = strawberry.field(description=f"For tokens: {_PARAMETERS.lower()}")

    @classmethod
    def of(cls, oauth2: defined.OAuth2Definition) -> "OAuth2Definition":
        return cls(
            grants=list(oauth2.grants),
            authorize_url=oauth2.authorize_url,
            token_url=oauth2.token_url,
            revoke_url=oauth2.revoke_url,
            issuer=oauth2.issuer,
            client_authentication=oauth2.client_authentication,
            pkce=oauth2.pkce,
            scope_separator=oauth2.scope_separator,
            scopes=[ScopeOptionDefinition.of(scope) for scope in oauth2.scopes],
            authorize_params=ParameterDefinition.all(oauth2.authorize_parameters),
            token_params=ParameterDefinition.all(oauth2.token_parameters),
        )


@strawberry.type(description="A connector of one's own, as it was defined: with the same fields as what `createConnector` takes.")
class ConnectorDefinition:
    key: str = strawberry.field(description="Its key.")
    name: str = strawberry.field(description="What people call it.")
    vendor: str | None = strawberry.field(description="Whose service it is.")
    category: str = strawberry.field(description="What kind of service it is.")
    documentation_url: str | None = strawberry.field(description="Where the vendor explains authentication.")
    base_url: str = strawberry.field(description="Where its API is.")
    fields: list[CredentialFieldDefinition] = strawberry.field(description="What everybody who connects is asked for.")
    verify: VerifyRequestDefinition | None = strawberry.field(description="What shows that a credential works.")
    oauth2: OAuth2Definition | None = strawberry.field(name="oauth2", description="How it does OAuth 2.0.")
    personal_access_token: PlacementDefinition | None = strawberry.field(description="Where a personal access token goes.")
    api_key: PlacementDefinition | None = strawberry.field(description="Where an API key goes.")
    basic: bool = strawberry.field(description="Whether user name and password are offered, by HTTP Basic.")

    @classmethod
    def of(cls, definition: defined.ConnectorDefinition) -> "ConnectorDefinition":
        return cls(
            key=definition.key,
            name=definition.name,
            vendor=definition.vendor,
            category=definition.category,
            documentation_url=definition.documentation_url,
            base_url=definition.base_url,
            fields=[CredentialFieldDefinition.of(field) for field in definition.fields],
            verify=None if definition.verify is None else VerifyRequestDefinition.of(definition.verify),
            oauth2=None if definition.oauth2 is None else OAuth2Definition.of(definition.oauth2),
            personal_access_token=PlacementDefinition.of(definition.personal_access_token),
            api_key=PlacementDefinition.of(definition.api_key),
            basic=definition.basic,
        )
