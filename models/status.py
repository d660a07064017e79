"""The words in which the state of a connection is told, and the reason for it."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self


class ConnectionStatus(StrEnum):
    CONNECTED = "CONNECTED"
    DEGRADED = "DEGRADED"
    ACTION_REQUIRED = "ACTION_REQUIRED"
    DISABLED = "DISABLED"


class StatusReasonCode(StrEnum):
    PROVIDER_UNREACHABLE = "PROVIDER_UNREACHABLE"
    PROVIDER_ERROR = "PROVIDER_ERROR"
    RATE_LIMITED = "RATE_LIMITED"
    REAUTHENTICATION_REQUIRED = "REAUTHENTICATION_REQUIRED"
    INVALID_CLIENT = "INVALID_CLIENT"
    REDIRECT_URI_MISMATCH = "REDIRECT_URI_MISMATCH"
    ACCESS_DENIED = "ACCESS_DENIED"
    INSUFFICIENT_SCOPES = "INSUFFICIENT_SCOPES"
    CREDENTIAL_REJECTED = "CREDENTIAL_REJECTED"
    NO_REFRESH_TOKEN = "NO_REFRESH_TOKEN"
    EXPIRES_FREQUENTLY = "EXPIRES_FREQUENTLY"
    ACCOUNT_MISMATCH = "ACCOUNT_MISMATCH"
    DISALLOWED_BY_POLICY = "DISALLOWED_BY_POLICY"
    DISABLED_BY_USER = "DISABLED_BY_USER"
    SECRET_UNREADABLE = "SECRET_UNREADABLE"
    INTERNAL_ERROR = "INTERNAL_ERROR"


class Fixer(StrEnum):
    NOBODY = "NOBODY"
    CONNECTION_OWNER = "CONNECTION_OWNER"
    APP_OWNER = "APP_OWNER"
    OPERATOR = "OPERATOR"


@dataclass(frozen=True, slots=True)
class StatusReason:
    """Why a status is what it is: what happened, what to do about it, and who can. Never holds a secret."""

    code: StatusReasonCode
    message: str
    remedy: str
    fixable_by: Fixer
    provider_error: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        return cls(
            code=StatusReasonCode(stored["code"]),
            message=stored["message"],
            remedy=stored["remedy"],
            fixable_by=Fixer(stored["fixable_by"]),
            provider_error=stored.get("provider_error"),
        )
