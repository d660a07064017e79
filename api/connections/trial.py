"""What is told of a definition that is tried out: one line a step, in words that hold no secret and nothing that a provider wrote."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from api.catalog.definition import ConnectorDefinition
from api.connections.requests import OwnApp
from api.errors import ProviderFailure
from api.secret import Secret
from models import AuthenticationType, StatusReason, StatusReasonCode

_LOOK_AT_ADDRESS = "Look at whether the address is right, and whether it can be reached from here."
_LOOK_AT_VALUES = "Look at the values that were given, and at how the definition says that they are sent."
_REMEDIES = {
    StatusReasonCode.PROVIDER_UNREACHABLE: _LOOK_AT_ADDRESS,
    StatusReasonCode.CREDENTIAL_REJECTED: _LOOK_AT_VALUES,
    StatusReasonCode.INVALID_CLIENT: _LOOK_AT_VALUES,
    StatusReasonCode.REAUTHENTICATION_REQUIRED: _LOOK_AT_VALUES,
    StatusReasonCode.INSUFFICIENT_SCOPES: "Look at the scopes that are asked for by default.",
    StatusReasonCode.RATE_LIMITED: "Try again later.",
}


class Step(StrEnum):
    """What is tried, in the order in which it is told."""

    DEFINITION = "DEFINITION"
    DISCOVERY = "DISCOVERY"
    AUTHORIZE_ENDPOINT = "AUTHORIZE_ENDPOINT"
    PKCE = "PKCE"
    TOKEN_ENDPOINT = "TOKEN_ENDPOINT"
    CLIENT = "CLIENT"
    TOKEN = "TOKEN"
    VERIFY = "VERIFY"
    VERIFY_REFUSES = "VERIFY_REFUSES"


class Outcome(StrEnum):
    OK = "OK"
    WARNING = "WARNING"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"


@dataclass(frozen=True, slots=True)
class Line:
    step: Step
    outcome: Outcome
    message: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What somebody wants to be tried. Without a type it is the first that the definition offers."""

    definition: ConnectorDefinition
    type: AuthenticationType | None = None
    fields: Mapping[str, Secret] = field(default_factory=dict)
    own_app: OwnApp | None = None


@dataclass(frozen=True, slots=True)
class Report:
    lines: tuple[Line, ...]

    @property
    def works(self) -> bool:
        """Whether nothing that was tried failed."""
        return all(line.outcome is not Outcome.FAILED for line in self.lines)

    @property
    def summary(self) -> str:
        return ", ".join(f"{line.step}: {line.outcome}" for line in self.lines)


def failed(step: Step, failure: ProviderFailure) -> Line:
    return Line(step, Outcome.FAILED, said(failure.reason), _REMEDIES.get(failure.reason.code, "Look at the path, and at what it needs."))


def said(reason: StatusReason) -> str:
    """What a provider said, with its word for it where it has one."""
    return reason.message if reason.provider_error is None else f"{reason.message} ({reason.provider_error})"
