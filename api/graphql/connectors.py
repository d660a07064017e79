"""The catalogue: what can be connected, and how."""

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import strawberry

from api.catalog import connector as catalog
from api.catalog.connector import ConnectorStage, Evidence
from api.catalog.using import Proof
from api.connections.offers import Offer
from api.connections.query import ConnectionQuery
from api.connections.reading import Each
from api.errors import NotFound, PermissionDenied
from api.graphql.context import Context, Info
from api.graphql.errors import ConflictError, InvalidInputError, NotFoundError, PermissionDeniedError, answering
from api.graphql.ids import find_id, graph_id
from api.graphql.listing import connection_page
from api.graphql.page import After, Cursors, First, Page, PageInfo, checked_first, checked_search, counted
from api.graphql.words import ConnectorOrigin
from api.icons import icon_path
from models import AuthenticationType, OrganizationPermission

if TYPE_CHECKING:
    from api.graphql.connections import Connection
    from api.graphql.definitions import ConnectorDefinition

LazyConnection = Annotated["Connection", strawberry.lazy("api.graphql.connections")]
LazyDefinition = Annotated["ConnectorDefinition", strawberry.lazy("api.graphql.definitions")]


@strawberry.type(description="One thing that a form must ask for.")
class CredentialField:
    name: str = strawberry.field(description="Its name among the `fields` of the input.")
    label: str = strawberry.field(description="What to call it in a form.")
    secret: bool = strawberry.field(description="Whether to hide what is typed. It can never be read back.")
    required: bool = strawberry.field(description="Whether it must be given.")
    default: str | None = strawberry.field(description="What is taken where it is not given.")
    example: str | None = strawberry.field(description="What a value looks like.")
    pattern: str | None = strawberry.field(description="A regular expression that all of the value must match.")
    help: str | None = strawberry.field(description="Where to find it, or what it is for.")
    options: list[str] | None = strawberry.field(description="The values to choose from; null where any is taken.")

    @classmethod
    def of(cls, field: catalog.Field) -> "CredentialField":
        return cls(
            name=field.name,
            label=field.label,
            secret=field.secret,
            required=field.required,
            default=field.default,
            example=field.example,
            pattern=field.pattern,
            help=field.help,
            options=None if field.options is None else list(field.options),
        )


@strawberry.type(description="A scope that can be asked for.")
class ScopeOption:
    name: str = strawberry.field(description="As the provider calls it.")
    mandatory: bool = strawberry.field(description="Whether the connector cannot do without it.")
    default: bool = strawberry.field(description="Whether it is asked for where no scopes are named.")
    description: str | None = strawberry.field(description="What it allows.")

    @classmethod
    def of(cls, scope: catalog.Scope) -> "ScopeOption":
        return cls(name=scope.name, mandatory=scope.mandatory, default=scope.default or scope.mandatory, description=scope.description)


@strawberry.type(description="One way to authenticate with a connector.")
class AuthenticationOption:
    type: AuthenticationType = strawberry.field(description="Which way.")
    key: str = strawberry.field(description="Tells options of one type apart: what `connect` takes as `option`.")
    label: str = strawberry.field(description="What to call it in a form.")
    legacy: bool = strawberry.field(description="Whether the vendor is giving it up: choose another one where you can.")
    proof: Proof = strawberry.field(description="What shows that a credential of this kind works.")
    available: bool = strawberry.field(description="False where this installation cannot offer it now.")
    unavailable_reason: str | None = strawberry.field(description="Why not, and what to do about it.")
    policy: str | None = strawberry.field(
        description="Which policy holds here for the viewer, in words, such as `the policy for everybody`; null for none."
    )
    is_against_policy: bool = strawberry.field(
        description="Whether that policy is against this way. Where it only warns, it is available all the same."
    )
    fields: list[CredentialField] = strawberry.field(description="What a form must ask for: from this list alone a client can draw it.")
    scopes: list[ScopeOption] = strawberry.field(description="The scopes to choose from; others may be asked for too.")
    redirect_uri: str | None = strawberry.field(description="For consent: the callback URL to register with the vendor. Not editable.")

    @classmethod
    def of(cls, offer: Offer) -> "AuthenticationOption":
        return cls(
            type=offer.type,
            key=offer.option.key,
            legacy=offer.option.legacy,
            proof=offer.option.proof,
            label=offer.option.label,
            available=offer.available,
            unavailable_reason=offer.unavailable_reason,
            policy=offer.policy,
            is_against_policy=offer.is_against_policy,
            fields=[CredentialField.of(field) for field in offer.fields],
            scopes=[ScopeOption.of(scope) for scope in offer.scopes],
            redirect_uri=offer.redirect_uri,
        )


@strawberry.type(description="A fact about a connector that nobody has seen confirmed yet.")
class UnconfirmedFact:
    key: str = strawberry.field(description="What it is about: a key of the connector's file.")
    what: str = strawberry.field(description="What is not certain.")


@strawberry.type(description="A service that can be connected.")
class Connector:
    id: strawberry.ID = strawberry.field(description="Names the connector for good: its key.")
    key: str = strawberry.field(description="Its key, such as `github`.")
    name: str = strawberry.field(description="What people call it.")
    vendor: str | None = strawberry.field(description="Whose service it is.")
    category: str = strawberry.field(description="What kind of service it is.")
    stage: ConnectorStage = strawberry.field(description="How far the connector is.")
    origin: ConnectorOrigin = strawberry.field(description="Where the connector comes from.")
    documentation_url: str | None = strawberry.field(description="Where the vendor explains authentication.")
    verification: Evidence = strawberry.field(description="What the description of this connector rests on.")
    unconfirmed: list[UnconfirmedFact] = strawberry.field(description="Single facts that are not certain.")
    icon_url: str = strawberry.field(description="A picture for lists: its initials, drawn by Patchbay.")
    version: int | None = strawberry.field(
        description="Of a connector of one's own, the version that is offered; null for one from a file."
    )

    @classmethod
    def of(cls, connector: catalog.Connector) -> "Connector":
        return cls(
            id=graph_id(connector.key),
            key=connector.key,
            name=connector.name,
            vendor=connector.vendor,
            category=connector.category,
            stage=connector.stage,
            origin=ConnectorOrigin.CATALOGUE if connector.version is None else ConnectorOrigin.CUSTOM,
            documentation_url=connector.documentation_url,
            verification=connector.evidence,
            unconfirmed=[UnconfirmedFact(key=fact.key, what=fact.what) for fact in connector.unconfirmed],
            icon_url=icon_path(connector.key),
            version=connector.version,
        )

    @strawberry.field(
        description="Of a connector of one's own, how it was defined: what `updateConnector` takes. Null for others, and for who does not "
        "manage connectors."
    )
    async def definition(self, info: Info) -> LazyDefinition | None:
        from api.graphql.definitions import ConnectorDefinition

        if self.version is None or not await info.context.loaders.may.load(OrganizationPermission.MANAGE_CONNECTORS):
            return None
        found = info.context.patchbay.own_connectors.find_definition(self.key, self.version)
        return None if found is None else ConnectorDefinition.of(found)

    @strawberry.field(description="Whether it is offered here.")
    async def installed(self, info: Info) -> bool:
        return await info.context.loaders.installed.load(self.key) or False

    @strawberry.field(description="What this connector offers here and now, the best first.")
    async def authentication_options(self, info: Info) -> list[AuthenticationOption]:
        return [AuthenticationOption.of(offer) for offer in await info.context.loaders.offers.load(self.key) or []]

    @strawberry.field(description="Its connections, in one folder or in all that the viewer can see.")
    async def connections(
        self,
        info: Info,
        folder_id: Annotated[strawberry.ID | None, strawberry.argument(description="Only in this folder.")] = None,
        first: First = 50,
        after: After = None,
    ) -> Page[LazyConnection]:
        query = ConnectionQuery(folder_id=find_id(folder_id), connector_key=self.key, nowhere=_is_unknown(folder_id))
        return await connection_page(info, query, first=first, after=after, each=Each.CONNECTOR)


def _is_unknown(folder_id: strawberry.ID | None) -> bool:
    """Whether a folder was named by what is no id: then nothing is in it."""
    return folder_id is not None and find_id(folder_id) is None


def connector_named(key: str, info: Info) -> Connector:
    """The connector of a connection. One that is no longer in the catalogue is still told by its key."""
    return connector_as_found(key, find_connector(key, info.context))


def find_connector(key: str, context: Context) -> catalog.Connector | None:
    return context.patchbay.catalog.find(key)


def connector_as_found(key: str, found: catalog.Connector | None) -> Connector:
    """As `connector_named`, of what was found by its key."""
    return _gone(key) if found is None else Connector.of(found)


def _gone(key: str) -> Connector:
    return Connector(
        id=graph_id(key),
        key=key,
        name=key,
        vendor=None,
        category="unknown",
        stage=ConnectorStage.LEGACY,
        origin=ConnectorOrigin.CATALOGUE,
        documentation_url=None,
        verification=Evidence.UNCONFIRMED,
        unconfirmed=[],
        icon_url=icon_path(key),
        version=None,
    )


@strawberry.input(description="Which connectors. What is left out does not matter.")
class ConnectorFilter:
    search: str | None = strawberry.field(
        default=None,
        description="Words of the name, the vendor or the category, without regard to case and accents; small slips are forgiven.",
    )
    category: str | None = strawberry.field(default=None, description="Of this category.")
    stage: ConnectorStage | None = strawberry.field(default=None, description="In this stage.")
    authentication_type: AuthenticationType | None = strawberry.field(default=None, description="That authenticate in this way.")
    installed: bool | None = strawberry.field(default=None, description="Offered here, or not; those that are where nothing is said.")


@strawberry.type(description="How many connectors there are of a category.")
class CategoryCount:
    category: str = strawberry.field(description="The category.")
    count: int = strawberry.field(description="How many connectors of it match the rest of the filter.")


@strawberry.type(description="One page of connectors.")
class ConnectorPage(Page[Connector]):
    categories: list[CategoryCount] = strawberry.field(
        description="How many of each category match the filter, whichever category it names: for a list to choose from."
    )


@strawberry.type
class ConnectorQuery:
    @strawberry.field(description="The catalogue, by name. Installed connectors only, unless the filter says otherwise.")
    async def connectors(
        self,
        info: Info,
        first: First = 50,
        after: After = None,
        filter: Annotated[ConnectorFilter | None, strawberry.argument(description="Only those that match all of it.")] = None,
    ) -> ConnectorPage:
        wanted = filter or ConnectorFilter()
        cursors = Cursors(
            info.context, "connectors", (wanted.search, wanted.category, wanted.stage, wanted.authentication_type, wanted.installed)
        )
        start = cursors.read(after)
        installed = await info.context.patchbay.installed.all()
        found = _found(wanted, installed, info)
        rest = found if start is None else found[_after(found, start) :]
        page = rest[: checked_first(first)]
        cursor = cursors.write(page[-1].key) if page else None
        return ConnectorPage(
            nodes=[Connector.of(connector) for connector in page],
            page_info=PageInfo(cursor=lambda: cursor, has_next_page=len(rest) > len(page)),
            count=counted(len(found)),
            categories=_categories(wanted, installed, info),
        )

    @strawberry.field(description="One connector; null where there is none with this key.")
    async def connector(self, info: Info, key: Annotated[str, strawberry.argument(description="Its key.")]) -> Connector | None:
        try:
            return Connector.of(await info.context.patchbay.catalog.look_up(key))
        except NotFound:
            return None


@strawberry.input(description="Whether a connector is offered here.")
class SetConnectorInstalledInput:
    connector_key: str = strawberry.field(description="The connector.")
    installed: bool = strawberry.field(description="Whether to offer it. Connections that are there go on in either case.")


@strawberry.type(description="It was done.")
class ConnectorSuccess:
    connector: Connector = strawberry.field(description="The connector as it is now.")


ConnectorResult = Annotated[
    ConnectorSuccess | NotFoundError | PermissionDeniedError | InvalidInputError | ConflictError,
    strawberry.union("ConnectorResult", description="The connector, or why not."),
]


@strawberry.type
class ConnectorMutation:
    @strawberry.mutation(description="Offer a connector here, or do so no more. Administrators only.")
    @answering(NotFound, PermissionDenied)
    async def set_connector_installed(
        self, info: Info, input: Annotated[SetConnectorInstalledInput, strawberry.argument(description="The connector.")]
    ) -> ConnectorResult:
        connector = await info.context.patchbay.installed.set(info.context.actor, input.connector_key, installed=input.installed)
        return ConnectorSuccess(connector=Connector.of(connector))


def _found(wanted: ConnectorFilter, installed: Collection[str], info: Info) -> list[catalog.Connector]:
    matching = info.context.patchbay.catalog.search(
        text=checked_search(wanted.search), category=wanted.category, stage=wanted.stage, authentication_type=wanted.authentication_type
    )
    is_wanted = wanted.installed is not False
    return [connector for connector in matching if (connector.key in installed) is is_wanted]


def _categories(wanted: ConnectorFilter, installed: Collection[str], info: Info) -> list[CategoryCount]:
    counts = Counter(connector.category for connector in _found(replace(wanted, category=None), installed, info))
    return [CategoryCount(category=category, count=counts[category]) for category in sorted(counts)]


def _after(found: list[catalog.Connector], key: str) -> int:
    return next((place + 1 for place, connector in enumerate(found) if connector.key == key), len(found))
