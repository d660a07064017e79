"""What Patchbay remembers: rows, and nothing that acts. Imports nothing of `api`."""

import models.uncommented  # noqa: F401  # before any model is made

# isort: split

from models.api_token import ApiToken, ApiTokenKind
from models.audit_entry import AuditEntry, AuditOutcome
from models.authorization import Authorization, AuthorizationStatus
from models.base import fold
from models.connection import AuthenticationType, Connection
from models.connector_version import ConnectorVersion
from models.credential import Credential
from models.crypto_key import CryptoKey, CryptoKeyPurpose, CryptoKeyState, KeyCheck
from models.event import ConnectionEvent, ConnectionEventType
from models.fields import Sealed
from models.folder import Folder, FolderGrant, FolderKind, Permission
from models.former_folder import FormerFolder
from models.group import FolderGroupGrant, Group, GroupMember
from models.idempotency import IdempotencyKey
from models.oauth_app import OAuthApp, OAuthAppOrigin
from models.policy import ConnectorInstallation, ConnectorPolicy, PolicyEnforcement
from models.replica import Replica
from models.session import Session, SignInFlow, SignInLink
from models.status import ConnectionStatus, Fixer, StatusReason, StatusReasonCode
from models.token_journal import TokenJournal
from models.user import OrganizationPermission, User
from models.webhook import Webhook
from models.webhook_cursor import WebhookCursor
from models.webhook_delivery import DeliveryState, WebhookDelivery

__all__ = [
    "ApiToken",
    "ApiTokenKind",
    "AuditEntry",
    "AuditOutcome",
    "AuthenticationType",
    "Authorization",
    "AuthorizationStatus",
    "Connection",
    "ConnectionEvent",
    "ConnectionEventType",
    "ConnectionStatus",
    "ConnectorInstallation",
    "ConnectorPolicy",
    "ConnectorVersion",
    "Credential",
    "CryptoKey",
    "CryptoKeyPurpose",
    "CryptoKeyState",
    "DeliveryState",
    "Fixer",
    "Folder",
    "FolderGrant",
    "FolderGroupGrant",
    "FolderKind",
    "FormerFolder",
    "Group",
    "GroupMember",
    "IdempotencyKey",
    "KeyCheck",
    "OAuthApp",
    "OAuthAppOrigin",
    "OrganizationPermission",
    "Permission",
    "PolicyEnforcement",
    "Replica",
    "Sealed",
    "Session",
    "SignInFlow",
    "SignInLink",
    "StatusReason",
    "StatusReasonCode",
    "TokenJournal",
    "User",
    "Webhook",
    "WebhookCursor",
    "WebhookDelivery",
    "fold",
]
