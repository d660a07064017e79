"""Every failure that we expect. Each builds its own sentence, keeps its data, and tells the way out.

PatchbayError
├── NotFound                        it is not there, or the actor may not see it: nobody can tell which
├── PermissionDenied                the actor sees it and may not do this
├── InvalidInput                    every mistake of the input at once, by field
├── NameTaken
├── Conflict                        the state of things does not allow it now
├── AuthenticationTypeUnavailable   the connector does not offer it here
├── PolicyViolation
├── ProviderFailure                 the provider said no, or nothing
├── Unauthenticated                 nobody is signed in
├── SignInRefused                   what was shown signs nobody in
├── BackupRefused                   a backup that is not made, or not used
├── StreamLagged                    a subscriber that could not keep up
└── StartRefused                    Patchbay does not start, and writes nothing
    ├── InvalidSettings
    └── KeyTrouble
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from models import Permission, StatusReason


class PatchbayError(Exception):
    """An expected failure: `message` says what happened, `remedy` what to do about it. Neither ever holds a secret."""

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class NotFound(PatchbayError):
    def __init__(self, noun: str) -> None:
        super().__init__(f"There is no such {noun}, or you may not see it.", "Check the id, or ask for access to its folder.")
        self.noun = noun


class PermissionDenied(PatchbayError):
    def __init__(
        self,
        permission: "Permission | None",
        *,
        folder_id: UUID | None = None,
        folder_name: str | None = None,
        told: tuple[str, str] | None = None,
    ) -> None:
        """`told`: message and remedy, where it is not a permission that is missing."""
        if told is not None:
            super().__init__(*told)
        elif permission is None:
            super().__init__("Only an administrator may do this.", "Ask an administrator.")
        else:
            super().__init__(
                f"This needs {permission.name} in the folder “{folder_name}”.",
                f"Ask someone who manages “{folder_name}” for {permission.name}.",
            )
        self.permission = permission
        self.folder_id = folder_id


class InvalidInput(PatchbayError):
    """`fields` maps the path of each wrong field, as the client named it, to what is wrong with it."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("The input is not valid: " + "; ".join(f"{name}: {text}" for name, text in fields.items()) + ".")
        self.fields = dict(fields)


class NameTaken(PatchbayError):
    def __init__(self, name: str, where: str) -> None:
        super().__init__(f"The name “{name}” is already taken in {where}.", "Choose another name; names differ by more than case.")


class Conflict(PatchbayError):
    pass


class AuthenticationTypeUnavailable(PatchbayError):
    pass


class PolicyViolation(PatchbayError):
    def __init__(self, message: str, remedy: str, *, connector_key: str, policy_id: UUID) -> None:
        super().__init__(message, remedy)
        self.connector_key = connector_key
        self.policy_id = policy_id


class ProviderFailure(PatchbayError):
    """The provider refused, failed, or did not answer. `reason` is what a status would say.

    `may_be_spent`: it may have used the token up all the same, and what it gave for it did not arrive.
    """

    def __init__(
        self, reason: "StatusReason", *, retryable: bool, retry_after: timedelta | None = None, may_be_spent: bool = False
    ) -> None:
        super().__init__(reason.message, reason.remedy)
        self.reason = reason
        self.retryable = retryable
        self.retry_after = retry_after
        self.may_be_spent = may_be_spent


class Unauthenticated(PatchbayError):
    def __init__(self) -> None:
        super().__init__("Nobody is signed in.", "Send an API token as `Authorization: Bearer …`, or sign in in the browser.")


class SignInRefused(PatchbayError):
    """`message` says why, to whoever tried: never whether somebody else exists."""


class BackupRefused(PatchbayError):
    """Nothing was written."""


class StreamLagged(PatchbayError):
    def __init__(self) -> None:
        super().__init__(
            "This subscription fell too far behind and was ended; nothing is lost.",
            "Subscribe again with `after` set to the cursor of the last event that you have.",
        )


class StartRefused(PatchbayError):
    pass


class InvalidSettings(StartRefused):
    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("Patchbay cannot start with these settings:\n" + "\n".join(f"  {problem}" for problem in problems))
        self.problems = list(problems)


class KeyTrouble(StartRefused):
    pass
