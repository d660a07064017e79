"""The errors that a client can plan for: members of a mutation's union, all of one interface."""

import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import strawberry

from api import errors
from api.graphql.context import Info
from api.graphql.statuses import StatusReason
from api.graphql.words import FolderPermission

if TYPE_CHECKING:
    from api.graphql.folders import Folder
    from api.graphql.policies import ConnectorPolicy

LazyFolder = Annotated["Folder", strawberry.lazy("api.graphql.folders")]
LazyConnectorPolicy = Annotated["ConnectorPolicy", strawberry.lazy("api.graphql.policies")]
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_MESSAGE = "What happened, in words a person understands."
_REMEDY = "What to do about it, where something can be done."


@strawberry.interface(description="Why something was not done. Ask for `... on Error { message remedy }`, and later kinds are caught too.")
class Error:
    message: str = strawberry.field(description=_MESSAGE)
    remedy: str | None = strawberry.field(description=_REMEDY)


@strawberry.type(description="It is not there, or the viewer may not see it; nobody can tell which.")
class NotFoundError(Error):
    pass


@strawberry.type(description="The viewer sees it, and may not do this.")
class PermissionDeniedError(Error):
    permission: FolderPermission | None = strawberry.field(
        description="The permission that is missing; null where only an administrator may."
    )
    folder: LazyFolder | None = strawberry.field(description="The folder in which it is missing.")


@strawberry.type(description="One wrong field of an input.")
class FieldError:
    field: str = strawberry.field(description="Its path in the input, such as `fields.subdomain`.")
    message: str = strawberry.field(description="What is wrong with it.")


@strawberry.type(description="The input is not valid. Every mistake is named at once.")
class InvalidInputError(Error):
    fields: list[FieldError] = strawberry.field(description="The mistakes, by field.")


@strawberry.type(description="The name is taken by another.")
class NameTakenError(Error):
    pass


@strawberry.type(description="A policy of the organization forbids it.")
class PolicyViolationError(Error):
    policy: LazyConnectorPolicy | None = strawberry.field(description="The policy, for administrators; null for others.")


@strawberry.type(description="The connector does not offer this authentication type here and now.")
class AuthenticationTypeUnavailableError(Error):
    pass


@strawberry.type(description="The provider said no, or nothing.")
class ProviderError(Error):
    reason: StatusReason = strawberry.field(description="What is wrong, as a status would say it.")
    retryable: bool = strawberry.field(description="Whether the same may work later.")


@strawberry.type(description="The state of things does not allow it now.")
class ConflictError(Error):
    pass


def answering(
    *expected: type[errors.PatchbayError],
) -> Callable[[Callable[Parameters, Awaitable[Result]]], Callable[Parameters, Awaitable[Result]]]:
    """Answer these failures with the member of the union that stands for them. Others are not planned for, and fly on."""

    def decorate(resolver: Callable[Parameters, Awaitable[Result]]) -> Callable[Parameters, Awaitable[Result]]:
        @wraps(resolver)
        async def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            try:
                return await resolver(*args, **kwargs)
            except expected as error:
                info: Any = kwargs.get("info")
                answer: Any = await _answer(error, info)
                return answer  # type: ignore[no-any-return]

        assert inspect.iscoroutinefunction(resolver)
        return wrapper

    return decorate


async def _answer(error: errors.PatchbayError, info: Info) -> Error:
    """The one table from failures to their types."""
    told: dict[str, Any] = {"message": error.message, "remedy": error.remedy}
    match error:
        case errors.NotFound():
            return NotFoundError(**told)
        case errors.PermissionDenied():
            return PermissionDeniedError(**told, permission=_permission(error), folder=await _folder(error, info))
        case errors.InvalidInput():
            fields = [FieldError(field=field, message=message) for field, message in error.fields.items()]
            return InvalidInputError(**told, fields=fields)
        case errors.NameTaken():
            return NameTakenError(**told)
        case errors.PolicyViolation():
            return PolicyViolationError(**told, policy=await _policy(error, info))
        case errors.AuthenticationTypeUnavailable():
            return AuthenticationTypeUnavailableError(**told)
        case errors.ProviderFailure():
            return ProviderError(**told, reason=StatusReason.of(error.reason), retryable=error.retryable)
        case errors.Conflict():
            return ConflictError(**told)
        case _:
            raise error


def _permission(error: errors.PermissionDenied) -> FolderPermission | None:
    return None if error.permission is None or error.permission.name is None else FolderPermission[error.permission.name]


async def _policy(error: errors.PolicyViolation, info: Info) -> Any:
    from api.graphql.policies import find_policy

    return await find_policy(error.policy_id, info)


async def _folder(error: errors.PermissionDenied, info: Info) -> Any:
    from api.graphql.folders import Folder

    row = None if error.folder_id is None else await info.context.loaders.folder.load(error.folder_id)
    return None if row is None else Folder.of(row)
