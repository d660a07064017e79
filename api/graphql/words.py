"""The enumerations of the graph, with a sentence for each word."""

from collections.abc import Callable
from enum import Enum, StrEnum
from typing import TypeVar

import strawberry

import models
from api.catalog.connector import ConnectorStage, Evidence
from api.catalog.definition import ClientAuthentication
from api.catalog.descriptions.description import FindingKind
from api.catalog.using import PlacementLocation, Proof
from api.connections.app_check import AppQuestion, Verdict
from api.connections.query import OrderField
from api.connections.trial import Outcome, Step
from api.connections.versions import Effect
from api.organization.app_warnings import AppWarningKind
from models import (
    ApiTokenKind,
    AuthenticationType,
    AuthorizationStatus,
    ConnectionEventType,
    ConnectionStatus,
    DeliveryState,
    Fixer,
    FolderKind,
    OAuthAppOrigin,
    Permission,
    PolicyEnforcement,
    StatusReasonCode,
)

Word = TypeVar("Word", bound=type[Enum])


class FolderPermission(Enum):
    VIEW = "VIEW"
    USE = "USE"
    CREATE = "CREATE"
    EDIT = "EDIT"
    DELETE = "DELETE"
    MANAGE = "MANAGE"


class OrganizationPermission(Enum):
    MANAGE_CONNECTORS = "MANAGE_CONNECTORS"


class ConnectorOrigin(Enum):
    CATALOGUE = "CATALOGUE"
    CUSTOM = "CUSTOM"


class OrderDirection(Enum):
    ASC = "ASC"
    DESC = "DESC"


def word_of(words: type[StrEnum]) -> Callable[[str], str]:
    """What answers a word as a column has it. Raises KeyError where it is none of these."""
    return {word.value: word.name for word in words}.__getitem__


def permissions_of(permission: Permission | None) -> list[FolderPermission]:
    """The words for a set of permissions, in the order in which they are declared."""
    return [word for word in FolderPermission if permission is not None and Permission[word.name] in permission]


def permission_of(words: list[FolderPermission]) -> Permission:
    permission = Permission(0)
    for word in words:
        permission |= Permission[word.name]
    return permission


def organization_permissions_of(permissions: models.OrganizationPermission) -> list[OrganizationPermission]:
    return [word for word in OrganizationPermission if models.OrganizationPermission[word.name] in permissions]


def organization_permission_of(words: list[OrganizationPermission]) -> models.OrganizationPermission:
    permissions = models.OrganizationPermission(0)
    for word in words:
        permissions |= models.OrganizationPermission[word.name]
    return permissions


def _describe(words: Word, name: str, description: str, **meanings: str) -> Word:
    strawberry.enum(words, name=name, description=description)
    for value in words.__strawberry_definition__.values:  # type: ignore[attr-defined]
        value.description = meanings[value.name]
    return words


_describe(
    AuthenticationType,
    "AuthenticationType",
    "How a connection authenticates with its provider.",
    OAUTH2_AUTHORIZATION_CODE="OAuth 2.0 with consent in the browser, with the operator's OAuth app.",
    OAUTH2_BRING_YOUR_OWN_APP="OAuth 2.0 with consent in the browser, with an OAuth app of one's own.",
    OAUTH2_CLIENT_CREDENTIALS="OAuth 2.0 for an application by itself, without a person.",
    OAUTH2_PASSWORD="OAuth 2.0 with a user name and a password.",
    OAUTH2_JWT_BEARER="OAuth 2.0 with a signed assertion.",
    PERSONAL_ACCESS_TOKEN="A token that a person made at the provider.",
    API_KEY="A key that the provider gave to an account or an application.",
    BASIC="A user name and a password, sent with each call.",
    AWS_ACCESS_KEY="An AWS access key, by which each call is signed.",
    CUSTOM="A way of the connector's own.",
)
_describe(
    ConnectorStage,
    "ConnectorStage",
    "How far a connector is.",
    GENERALLY_AVAILABLE="Ready to be relied upon.",
    PREVIEW="New: it may still change.",
    LEGACY="Kept for those who use it; new connections should use another one.",
)
_describe(
    Evidence,
    "ConnectorVerification",
    "What the description of a connector rests on.",
    VENDOR_DOCUMENTED="What the vendor documents. Single facts that are not certain are named.",
    UNCONFIRMED="Pieced together from other sources: it may not work as it says.",
)
_describe(
    Proof,
    "CredentialProof",
    "What shows that a credential works.",
    REQUEST="A request to the provider that is made with it.",
    TOKEN_EXCHANGE="That the provider gives a token for it.",
    LOGIN="A login at the server.",
    NONE="Nothing that can be done from here: it is kept, and never said to be verified.",
)
_describe(
    ClientAuthentication,
    "ClientAuthentication",
    "How an OAuth app proves itself at the token endpoint.",
    CLIENT_SECRET_BASIC="By HTTP Basic.",
    CLIENT_SECRET_POST="By its id and secret in the body.",
    NONE="Not at all: it is a public client.",
)
_describe(
    PlacementLocation,
    "PlacementLocation",
    "Where in a call a credential goes.",
    HEADER="In a header.",
    QUERY="In the query.",
)
_describe(
    ConnectorOrigin,
    "ConnectorOrigin",
    "Where a connector comes from.",
    CATALOGUE="It comes with this installation.",
    CUSTOM="Somebody here made it.",
)
_describe(
    FolderKind,
    "FolderKind",
    "Whose a folder is.",
    PERSONAL="The workspace of one person, and of nobody else.",
    SHARED="A folder that several may be given access to.",
)
_describe(
    FolderPermission,
    "FolderPermission",
    "What may be done in a folder, and with the connections in it.",
    VIEW="See the folder, and its connections.",
    USE="Be given the credential of its connections, and verify them.",
    CREATE="Make connections.",
    EDIT="Rename, reconnect, disable and enable connections, and choose the default.",
    DELETE="Delete connections.",
    MANAGE="Say who else may do what, and make folders below.",
)
_describe(
    OrganizationPermission,
    "OrganizationPermission",
    "What may be done that has to do with no folder. Administrators may all of it.",
    MANAGE_CONNECTORS="Make, change and delete connectors of one's own.",
)
_describe(
    Effect,
    "ConnectorUpdateEffect",
    "What a new version of its connector means for a connection.",
    MIGRATES="It can be moved as it is.",
    MUST_RECONNECT="Its owner must give its credential, or their consent, again: with what it has it is not moved.",
    STAYS="It can only go on with the version that it has.",
)
_describe(
    ApiTokenKind,
    "ApiTokenKind",
    "Whom an API token is for. Its text begins with it: pb_user_ or pb_service_.",
    USER="A person; where it has no limits, they can sign in in a browser with it.",
    SERVICE="A machine: nobody signs in in a browser with it.",
)
_describe(
    ConnectionStatus,
    "ConnectionStatus",
    "The state of a connection.",
    CONNECTED="The credential works, as far as anyone knows.",
    DEGRADED="The provider fails or cannot be reached; Patchbay goes on trying, and nobody has to act.",
    ACTION_REQUIRED="A person must act: the reason says who and what.",
    DISABLED="Switched off, by a person or by policy.",
)
_describe(
    StatusReasonCode,
    "StatusReasonCode",
    "Why a status is what it is. One code is one cause.",
    PROVIDER_UNREACHABLE="No answer came from the provider, or its address may not be called.",
    PROVIDER_ERROR="The provider answered with an error of its own.",
    RATE_LIMITED="The provider asked for fewer requests.",
    REAUTHENTICATION_REQUIRED="The consent has ended or was withdrawn.",
    INVALID_CLIENT="The provider does not accept the OAuth app.",
    REDIRECT_URI_MISMATCH="The OAuth app does not have Patchbay's callback URL.",
    ACCESS_DENIED="The consent was refused.",
    INSUFFICIENT_SCOPES="Scopes that the connection needs were not granted.",
    CREDENTIAL_REJECTED="The provider rejects the credential.",
    NO_REFRESH_TOKEN="The access token has ended, and there is none to renew it with.",
    EXPIRES_FREQUENTLY="Consents of this connection keep ending early.",
    ACCOUNT_MISMATCH="Another account is signed in at the provider, or none was chosen.",
    DISALLOWED_BY_POLICY="A policy forbids the connection.",
    DISABLED_BY_USER="A person switched it off.",
    SECRET_UNREADABLE="The stored credential cannot be opened with the keys at hand.",
    INTERNAL_ERROR="Patchbay itself fails at this connection, and has set it aside: it tries again each hour.",
)
_describe(
    Fixer,
    "Fixer",
    "Who can do something about it.",
    NOBODY="Nobody has to: it passes, or Patchbay goes on trying.",
    CONNECTION_OWNER="Whoever owns the connection.",
    APP_OWNER="Whoever owns the OAuth app.",
    OPERATOR="An operator of this installation.",
)
_describe(
    AuthorizationStatus,
    "AuthorizationStatus",
    "How far a consent is.",
    PENDING="The person has not come back yet.",
    SUCCEEDED="The connection is there.",
    DENIED="The person, or the provider for them, refused.",
    FAILED="Something else went wrong: the reason says what.",
    EXPIRED="Nobody came back in time.",
    CANCELLED="Whoever began it called it off.",
)
_describe(
    ConnectionEventType,
    "ConnectionEventType",
    "What happened to a connection.",
    CREATED="It was made.",
    RECONNECTED="It was given a new credential.",
    STATUS_CHANGED="Its status, or the reason for it, changed.",
    RENAMED="It was given another name.",
    DEFAULT_CHANGED="It became the default of its folder and connector, or is so no more.",
    MOVED="It was moved from one folder to another.",
    OWNER_CHANGED="It was given another owner.",
    DELETED="It was deleted.",
)
_describe(
    DeliveryState,
    "WebhookDeliveryState",
    "Whether a message arrived.",
    PENDING="Not yet: it is sent until it does, for three days.",
    DELIVERED="The receiver took it.",
    FAILED="It was given up.",
)
_describe(
    OAuthAppOrigin,
    "OAuthAppOrigin",
    "Whose an OAuth app is.",
    OPERATOR="The operator's: what OAUTH2_AUTHORIZATION_CODE signs in with.",
    POLICY="Given by a policy.",
    CONNECTION="Brought by a person, with a connection.",
)
_describe(
    PolicyEnforcement,
    "PolicyEnforcement",
    "What a policy does to connections that break it.",
    WARN="Nothing: they are listed among its violations, and new ones may be made.",
    BLOCK_NEW="No new ones are made, and none is given a new credential; those that are there go on.",
    SUSPEND="As BLOCK_NEW, and those that are there are switched off until the policy is no longer against them.",
)
_describe(
    AppWarningKind,
    "OAuthAppWarningKind",
    "What should be done about an OAuth app before it fails.",
    SECRET_EXPIRES="Its secret ends within 30 days.",
    SECRET_EXPIRED="Its secret has ended, as far as was told.",
)
_describe(
    AppQuestion,
    "OAuthAppQuestion",
    "What is asked about an OAuth app.",
    CLIENT_KNOWN="Whether the provider knows the client id.",
    SECRET_ACCEPTED="Whether it takes the secret.",
    REDIRECT_URI_REGISTERED="Whether the app has Patchbay's callback URL.",
    PKCE_ACCEPTED="Whether PKCE is taken.",
    MANDATORY_SCOPES_REGISTERED="Whether the app has the scopes that the connector cannot do without; the detail names them.",
)
_describe(
    Verdict,
    "Verdict",
    "What came of a question.",
    YES="It is so.",
    NO="It is not so.",
    UNKNOWN="It could not be told.",
)
_describe(
    FindingKind,
    "DescriptionFindingKind",
    "What became of something in an API description.",
    FOUND="It is in the draft.",
    IGNORED="It is not in the draft.",
)
_describe(
    Step,
    "TestStep",
    "What is tried of a connector's definition.",
    DEFINITION="Whether it can be made a connector.",
    DISCOVERY="Whether the authorization server describes itself in the same way.",
    AUTHORIZE_ENDPOINT="Whether the page where a person consents is there.",
    PKCE="Whether consent can be bound by PKCE with S256.",
    TOKEN_ENDPOINT="Whether the token endpoint answers as one.",
    CLIENT="Whether the provider takes the OAuth app that was given.",
    TOKEN="Whether it gives a token for what was given.",
    VERIFY="Whether the verify request takes the credential.",
    VERIFY_REFUSES="Whether the verify request is refused to a credential that cannot exist.",
)
_describe(
    Outcome,
    "TestOutcome",
    "What came of a step.",
    OK="It is as it should be.",
    WARNING="It could not be told, or deserves a look.",
    FAILED="It does not work.",
    SKIPPED="There was nothing to try it with.",
)
_describe(
    OrderField,
    "ConnectionOrderField",
    "What connections are ordered by.",
    NAME="Their names, without regard to case.",
    CREATED_AT="When they were made.",
    UPDATED_AT="When something about them last changed.",
    STATUS_CHANGED_AT="When their status last changed.",
)
_describe(OrderDirection, "OrderDirection", "Which end comes first.", ASC="The smallest or earliest.", DESC="The greatest or latest.")
