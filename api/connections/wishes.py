"""What someone wants to connect, checked: from here on every value is one that the connector asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import models
from api.access import Access, Actor
from api.catalog.catalog import Catalog
from api.catalog.connector import Connector, Field, Option
from api.connections.consent import Addresses, FlowSecrets
from api.connections.forms import Defaults, fields_of, fill, scope_mistakes
from api.connections.provider import Provider
from api.connections.requests import ConnectRequest, OwnApp, ReconnectRequest
from api.connections.secrets import Secrets, credential_place
from api.errors import AuthenticationTypeUnavailable, Conflict, InvalidInput, NotFound
from api.names import name_problem, tidy
from api.oauth.tokens import ClientCredentials
from api.organization.apps import OAuthApps, SecretForElsewhere, client_mistakes, serves
from api.organization.installed import InstalledConnectors
from api.organization.rulings import Rulings
from api.policy import Ruling
from api.secret import Secret
from api.vault.vault import Unreadable, Vault
from models import AuthenticationType, OAuthAppOrigin, Permission

_LONGEST_KEY = 200
_LONGEST_URL = 2000
_CLIENT = ("client_id", "client_secret")


@dataclass(frozen=True, slots=True)
class Wish:
    """A connection as someone wants it."""

    provider: Provider
    type: AuthenticationType
    folder_id: UUID
    name: str | None
    secrets: Mapping[str, Secret]
    scopes: tuple[str, ...]
    return_url: str | None = None
    oauth_app_id: UUID | None = None
    # An app of the person's own that is not kept yet.
    own_app: OwnApp | None = field(default=None, repr=False)
    # Of the consent under way, once the browser has departed.
    code_verifier: Secret | None = None

    def kept_site(self) -> dict[str, str]:
        """What a consent under way keeps of it that is no secret."""
        own = {} if self.own_app is None else {"client_id": self.own_app.client_id}
        return {**self.provider.site, **own}

    def kept_secrets(self, code_verifier: Secret | None = None) -> FlowSecrets:
        """What a consent under way keeps of it sealed."""
        secrets = dict(self.secrets)
        if self.own_app is not None and self.own_app.client_secret is not None:
            secrets["client_secret"] = self.own_app.client_secret
        return FlowSecrets(secrets, code_verifier)


class Wishes:
    def __init__(
        self,
        *,
        access: Access,
        catalog: Catalog,
        vault: Vault,
        apps: OAuthApps,
        installed: InstalledConnectors,
        rulings: Rulings,
        addresses: Addresses,
    ) -> None:
        self._access = access
        self._catalog = catalog
        self._vault = vault
        self._apps = apps
        self._installed = installed
        self._rulings = rulings
        self._addresses = addresses

    async def to_connect(self, actor: Actor, request: ConnectRequest) -> Wish:
        """Raises NotFound, PermissionDenied, Conflict, AuthenticationTypeUnavailable, PolicyViolation, InvalidInput."""
        await self._access.folder(actor, request.folder_id, Permission.CREATE)
        connector = await self._catalog.look_up(request.connector_key)
        _require_version(connector, request.connector_version)
        await self._installed.require(connector)
        option = _option(connector, request.authentication_type, request.option)
        ruling = await self._rulings.check(actor.user_id, connector, request.authentication_type)
        stand_in = await _stand_in(connector, request.authentication_type, ruling)
        mistakes = self._mistakes(request.authentication_type, request)
        if request.name is not None and (problem := name_problem(request.name)):
            mistakes["name"] = problem
        if request.idempotency_key is not None and (problem := idempotency_key_problem(request.idempotency_key)):
            mistakes["idempotencyKey"] = problem
        app, given = _split_own_app(request.authentication_type, request.own_app, request.fields)
        if stand_in is not None and app == OwnApp(stand_in.client_id):
            # As a form has it that shows the client id of the policy's app, and was sent back as it came.
            app = None
        app_id, app_mistakes = await self._app(actor, connector, request, app, stand_in)
        app_known = app is not None or app_id is not None
        form = _form(connector, option, request.authentication_type, app_known=app_known, defaults=Defaults.of(ruling, stand_in))
        filled, field_mistakes = fill(form, given, connector.fields_for(option))
        provider = Provider(connector, option, filled.site)
        mistakes |= app_mistakes | field_mistakes
        if app_id is not None and not mistakes:
            mistakes |= await self._server_mistakes(actor, app_id, provider)
        # Scopes may hold site values, which must be good before they can be compared.
        mistakes |= {} if field_mistakes else scope_mistakes(provider.mandatory_scopes, request.scopes)
        if mistakes:
            raise InvalidInput(mistakes)
        return Wish(
            provider=provider,
            type=request.authentication_type,
            folder_id=request.folder_id,
            name=None if request.name is None else tidy(request.name),
            secrets=filled.secrets,
            scopes=_default_scopes(provider, request.authentication_type, ruling) if request.scopes is None else request.scopes,
            return_url=request.return_url,
            oauth_app_id=app_id,
            own_app=app,
        )

    async def to_reconnect(self, connection: models.Connection, request: ReconnectRequest) -> Wish:
        """What is not given stays as it is; a secret that is not given stays too, as long as all else does. Raises as `to_connect`."""
        connector = await self._catalog.look_up(connection.connector_key)
        _require_version(connector, request.connector_version)
        type = connection.authentication_type
        option = _option(connector, type, connection.option_key)
        mistakes = self._mistakes(type, request)
        app, given = _split_own_app(type, request.own_app, request.fields)
        if app is not None:
            mistakes |= _present(client_mistakes(app.client_id, app.client_secret, prefix="oauthApp."))
        form = _form(connector, option, type, app_known=True)
        standing = await self._standing(connection, form)
        if _goes_elsewhere(connection, form, given) or await self._has_moved(connection, Provider(connector, option, connection.site)):
            # What was typed, by whomever, was typed for another address or account: it is not sent to this one.
            standing = {field.name: standing[field.name] for field in form if not field.secret and field.name in standing}
            if type is AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP and app is None:
                mistakes["oauthApp"] = "must be given again, because other fields changed"
        if app is None and connection.oauth_app_id is not None and not mistakes:
            kept = await models.OAuthApp.get(id=connection.oauth_app_id)
            if not serves(kept, connector):
                raise SecretForElsewhere(connector)
        filled, field_mistakes = fill(form, standing | dict(given), connector.fields_for(option))
        provider = Provider(connector, option, filled.site)
        mistakes |= field_mistakes or scope_mistakes(provider.mandatory_scopes, request.scopes)
        if mistakes:
            raise InvalidInput(mistakes)
        scopes = request.scopes
        if scopes is None:
            scopes = tuple(dict.fromkeys([*provider.mandatory_scopes, *connection.scopes, *connection.missing_scopes]))
        return Wish(
            provider=provider,
            type=type,
            folder_id=connection.folder_id,
            name=connection.name,
            secrets=filled.secrets,
            scopes=scopes,
            return_url=request.return_url,
            oauth_app_id=None if app is not None else connection.oauth_app_id,
            own_app=app,
        )

    async def of(self, authorization: models.Authorization) -> Wish:
        """The wish that a consent under way keeps. Raises NotFound, AuthenticationTypeUnavailable, Unreadable."""
        connector = await self._catalog.look_up_version(authorization.connector_key, authorization.connector_version)
        if connector is None:
            raise NotFound("connector")
        option = _option(connector, authorization.authentication_type, authorization.option_key)
        kept = FlowSecrets.open(self._vault, authorization.secrets, authorization.id, authorization.folder_id)
        site = {name: value for name, value in authorization.site.items() if name not in _CLIENT}
        client_id = authorization.site.get("client_id")
        return Wish(
            provider=Provider(connector, option, site),
            type=authorization.authentication_type,
            folder_id=authorization.folder_id,
            name=authorization.name,
            secrets={name: value for name, value in kept.fields.items() if name not in _CLIENT},
            scopes=tuple(authorization.scopes),
            return_url=authorization.return_url,
            oauth_app_id=authorization.oauth_app_id,
            own_app=None if client_id is None else OwnApp(client_id, kept.fields.get("client_secret")),
            code_verifier=kept.code_verifier,
        )

    async def client_of(self, wish: Wish) -> ClientCredentials:
        """The OAuth client to act as. Raises Unreadable, SecretForElsewhere."""
        if wish.own_app is not None:
            return ClientCredentials(wish.own_app.client_id, wish.own_app.client_secret)
        app = await self.app_of(wish)
        return wish.provider.client(Secrets(fields=wish.secrets)) if app is None else self._apps.client_of(app, wish.provider.connector)

    async def app_of(self, wish: Wish) -> models.OAuthApp | None:
        """The app that is kept and signed in with, as it is now."""
        return None if wish.oauth_app_id is None else await models.OAuthApp.get(id=wish.oauth_app_id)

    def _mistakes(self, type: AuthenticationType, request: ConnectRequest | ReconnectRequest) -> dict[str, str]:
        """What is wrong with what both kinds of request have, besides scopes and fields."""
        mistakes: dict[str, str] = {}
        if request.return_url is not None and len(request.return_url) > _LONGEST_URL:
            mistakes["returnUrl"] = f"must not be longer than {_LONGEST_URL} characters"
        elif request.return_url is not None and not self._addresses.allows_return_to(request.return_url):
            mistakes["returnUrl"] = "its origin is not on the operator's list (PATCHBAY_RETURN_ORIGINS)"
        if request.own_app is not None and type is not AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP:
            mistakes["oauthApp"] = f"goes with {AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP} only"
        return mistakes

    async def _app(
        self, actor: Actor, connector: Connector, request: ConnectRequest, own_app: OwnApp | None, stand_in: models.OAuthApp | None
    ) -> tuple[UUID | None, dict[str, str]]:
        """The id of the app to sign in with, where it is one that is kept, and what is wrong with the choice."""
        if own_app is not None:
            return None, _present(client_mistakes(own_app.client_id, own_app.client_secret, prefix="oauthApp."))
        if request.authentication_type is AuthenticationType.OAUTH2_AUTHORIZATION_CODE:
            app = await models.OAuthApp.get_or_none(connector_key=connector.key, origin=OAuthAppOrigin.OPERATOR)
            if app is None:
                raise AuthenticationTypeUnavailable(
                    f"No OAuth app is registered here for {connector.name}.",
                    "Ask an administrator to register one, or bring your own (OAUTH2_BRING_YOUR_OWN_APP).",
                )
            if not serves(app, connector):
                raise SecretForElsewhere(connector)
            return app.id, {}
        if stand_in is not None and request.oauth_app_id in (None, stand_in.id):
            return stand_in.id, {}
        if request.oauth_app_id is None:
            return None, {}
        kept = await models.OAuthApp.get_or_none(id=request.oauth_app_id, connector_key=connector.key)
        if kept is None or kept.folder_id is None or not await self._may_use(actor, kept.folder_id):
            return None, {"oauthAppId": "is not an app that you may use with this connector"}
        if not serves(kept, connector):
            raise SecretForElsewhere(connector)
        return kept.id, {}

    async def _server_mistakes(self, actor: Actor, app_id: UUID, provider: Provider) -> dict[str, str]:
        """The secret of an app that is kept goes to the server that it was given for, whatever else a person may name."""
        if not provider.takes_any_host:
            return {}
        first = await models.Connection.filter(oauth_app_id=app_id).order_by("created_at", "id").first()
        if first is None:
            # An administrator says by it which server the app is for.
            return {} if actor.may_administer else {"oauthAppId": "is used by no connection yet; an administrator has to make the first"}
        connector = await self._catalog.look_up_version(first.connector_key, first.connector_version) or provider.connector
        option = _option(connector, first.authentication_type, first.option_key)
        same = Provider(connector, option, first.site).host == provider.host
        return {} if same else {"oauthAppId": "is for another server than the one that is named here"}

    async def _may_use(self, actor: Actor, folder_id: UUID) -> bool:
        permissions = await self._access.permissions(actor, [folder_id])
        return Permission.USE in permissions.get(folder_id, Permission(0))

    async def _has_moved(self, connection: models.Connection, provider: Provider) -> bool:
        """Whether the connector as it is offered now has other addresses than the one that the connection keeps."""
        if connection.connector_version == provider.connector.version:
            return False
        kept = await self._catalog.look_up_version(connection.connector_key, connection.connector_version)
        option = None if kept is None else kept.find_option(connection.authentication_type, connection.option_key)
        return kept is None or option is None or not provider.addresses <= Provider(kept, option, connection.site).addresses

    async def _standing(self, connection: models.Connection, form: tuple[Field, ...]) -> dict[str, Secret]:
        """The values that the connection has now, for the fields that are still asked for; of secrets that do not open, none."""
        # With its connection as it is now, which may have been moved.
        credential = await models.Credential.get(connection_id=connection.id).select_related("connection")
        await self._vault.look_for_key(credential.secrets)
        try:
            kept = Secrets.open(self._vault, credential.secrets, credential_place(credential.id, credential.connection.folder_id))
        except Unreadable:
            # To reconnect is the way out of that, so it must not stand in its way: a person gives them anew.
            kept = Secrets()
        standing = {name: Secret(value) for name, value in connection.site.items()} | dict(kept.fields)
        return {field.name: standing[field.name] for field in form if field.name in standing}


def _goes_elsewhere(connection: models.Connection, form: Sequence[Field], given: Mapping[str, Secret]) -> bool:
    """Whether a field that says where or as whom to sign in is to be another than the connection has."""
    plain = {field.name: field.default or "" for field in form if not field.secret and field.name in given}
    # allowed: secret-equality: these fields are no secrets
    return any(given[name].reveal() != connection.site.get(name, default) for name, default in plain.items())


def idempotency_key_problem(key: str) -> str | None:
    """What is wrong with a key, or None: one to 200 characters that can be seen."""
    return name_problem(key, longest=_LONGEST_KEY)


def captured(wish: Wish, values: Mapping[str, str]) -> Wish:
    """The wish with values that came from the provider. Raises InvalidInput where one has not the form that the connector expects."""
    fields = {field.name: field for field in wish.provider.connector.fields_for(wish.provider.option)}
    mistakes = {name: problem for name, value in values.items() if (problem := fields[name].problem(value))}
    if mistakes:
        raise InvalidInput(mistakes)
    provider = wish.provider
    return replace(wish, provider=Provider(provider.connector, provider.option, {**provider.site, **values}))


def _require_version(connector: Connector, version: int | None) -> None:
    """Raises Conflict where what was typed was typed for another version, which may have gone to other addresses."""
    if version is not None and version != connector.version:
        raise Conflict(f"{connector.name} was changed since its form was shown.", "Look at its options again, and at where they lead.")


def _option(connector: Connector, type: AuthenticationType, key: str | None) -> Option:
    option = connector.find_option(type, key)
    if option is None:
        raise AuthenticationTypeUnavailable(
            f"{connector.name} does not offer {type}.", "Choose one of the authentication options of the connector."
        )
    return option


def _form(
    connector: Connector, option: Option, type: AuthenticationType, *, app_known: bool, defaults: Defaults = Defaults()
) -> tuple[Field, ...]:
    """What must be filled in; of one's own app nothing, where it is named beside the fields."""
    form = fields_of(connector, option, type, defaults)
    if app_known and type.needs_consent:
        return tuple(field for field in form if field.name not in _CLIENT)
    return form


async def _stand_in(connector: Connector, type: AuthenticationType, ruling: Ruling) -> models.OAuthApp | None:
    """The app that a policy gives where somebody brings none of their own."""
    if type is not AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP or ruling.default_app_id is None:
        return None
    app = await models.OAuthApp.get_or_none(id=ruling.default_app_id)
    return app if app is not None and serves(app, connector) else None


def _default_scopes(provider: Provider, type: AuthenticationType, ruling: Ruling) -> tuple[str, ...]:
    """What is asked for where nobody names scopes: with an app of one's own, what a policy says."""
    if type is not AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP or ruling.default_scopes is None:
        return provider.default_scopes
    return tuple(dict.fromkeys([*provider.mandatory_scopes, *ruling.default_scopes]))


def _split_own_app(
    type: AuthenticationType, own_app: OwnApp | None, fields: Mapping[str, Secret]
) -> tuple[OwnApp | None, dict[str, Secret]]:
    """One's own app may come beside the fields or, as a form has it, among them."""
    rest = dict(fields)
    if type is not AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP:
        return None, rest
    if own_app is None and "client_id" in rest:
        own_app = OwnApp(rest.pop("client_id").reveal(), rest.pop("client_secret", None))
    return own_app, rest


def _present(mistakes: Mapping[str, str | None]) -> dict[str, str]:
    return {field: problem for field, problem in mistakes.items() if problem is not None}
