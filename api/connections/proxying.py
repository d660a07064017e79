"""Calls to a provider through Patchbay: the credential is put in here, and whoever calls never holds it.

Each call is in the audit log before it is made, by method and host, in the transaction that found the right to it. A provider that says
401 has the credential renewed, once for all who are told so; the call is then made a second time where that does no harm.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID

from api.access import Access, Actor
from api.audit import Audit
from api.connections.forwarding import Passage, Redaction, headers_down, headers_up, require_below, secrets_of
from api.connections.issuing import Issuing
from api.connections.limits import CallLimits, Throttled, TooManyCalls, Visit
from api.connections.provider import Provider
from api.connections.refresher import Refresher
from api.connections.subjects import Subject, Subjects
from api.connections.upload import Upload
from api.errors import Conflict, PatchbayError
from api.outbound.http import OutboundRequest
from api.outbound.streaming import StreamedAnswer, StreamedRequest, StreamingClient
from api.vault.vault import KeyUnavailable, Unreadable
from models import ConnectionStatus, Permission

# A token that ends before the call arrives is of no use; one that ends on its way is renewed because of the 401.
_MINIMUM_TTL = timedelta(seconds=10)
# Making these twice is as good as making them once (RFC 9110 section 9.2.2, and the RFCs of WebDAV, CalDAV, SEARCH and QUERY).
_IDEMPOTENT = frozenset(
    {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "QUERY", "SEARCH", "REPORT", "PROPFIND", "PROPPATCH", "MKCOL", "MKCALENDAR"}
    | {"COPY", "MOVE", "UNLOCK", "ACL", "LINK", "UNLINK"}
)
_UNAUTHORIZED = 401
_SIGNED_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Call:
    """What somebody wants to say to a provider. `path` and `query` are as they were sent; the path is empty or begins with a slash."""

    connection_id: UUID
    # Where calls to this connection begin here: what a redirect below the base URL is told as.
    prefix: str
    method: str
    path: str = field(repr=False)
    query: str = field(default="", repr=False)
    headers: Iterable[tuple[str, str]] = field(default=(), repr=False)
    upload: Upload | None = None
    # Whether the caller says that it may be made twice, whatever its method.
    may_repeat: bool = False
    # Whether challenges may come back: a browser would ask a person for a password by them.
    challenges: bool = True

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be made a second time, and still can."""
        return (self.may_repeat or self.method in _IDEMPOTENT) and (self.upload is None or self.upload.is_kept)


@dataclass(frozen=True, slots=True)
class Passed:
    """What the provider says, as far as it is for the caller."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    body: AsyncIterator[bytes]


class Proxying:
    def __init__(
        self,
        *,
        access: Access,
        issuing: Issuing,
        subjects: Subjects,
        refresher: Refresher,
        client: StreamingClient,
        limits: CallLimits,
        audit: Audit,
    ) -> None:
        self._access = access
        self._issuing = issuing
        self._subjects = subjects
        self._refresher = refresher
        self._client = client
        self._limits = limits
        self._audit = audit

    @asynccontextmanager
    async def call(self, actor: Actor, call: Call) -> AsyncIterator[Passed]:
        """Make a call with the connection's credential. Needs USE. What is still under way at the end of the block is broken off.

        Raises NotFound, PermissionDenied, InvalidInput, PolicyViolation where a policy suspends it, ProviderFailure, Conflict,
        TooManyCalls, TooLarge, and OutboundError where the provider gives no answer.
        """
        with self._limits.visit(call.connection_id) as visit:
            subject = await self._admitted(visit, actor, call)
            async with AsyncExitStack() as under_way:
                sent = _Sent.of(call, subject)
                answer = await self._send(under_way, call, sent)
                if answer.status == _UNAUTHORIZED:
                    renewed = await self._renewed(actor, call.connection_id, subject)
                    if renewed is not None and call.is_repeatable:
                        await under_way.aclose()
                        sent = _Sent.of(call, renewed)
                        answer = await self._send(under_way, call, sent)
                yield Passed(answer.status, tuple(sent.told(answer, call)), answer.chunks())

    async def _admitted(self, visit: Visit, actor: Actor, call: Call) -> Subject:
        """The connection, to be used once; the act is done then."""

        def admit(provider: Provider) -> None:
            _require_http(provider)
            require_below(call.path)
            visit.enter()

        def told(subject: Subject) -> str:
            return f"{call.method} {urlsplit(_base_url(subject)).hostname}"

        try:
            async with self._audit.act(actor, "credential.proxy", call.connection_id) as act:
                return await self._issuing.use(act, actor, call.connection_id, _MINIMUM_TTL, check=admit, detail=told)
        except Throttled as throttled:
            # Not in the audit log: a flood of calls would be a flood of entries.
            raise TooManyCalls(throttled) from None

    async def _send(self, under_way: AsyncExitStack, call: Call, sent: "_Sent") -> StreamedAnswer:
        body = await _body(call.upload, whole=sent.subject.provider.option.signature is not None)
        request = OutboundRequest(call.method, sent.target, sent.headers, body if isinstance(body, bytes) else None)
        request = sent.subject.provider.authenticated(request, sent.subject.secrets)
        length = None if call.upload is None else call.upload.length
        streamed = StreamedRequest(request.method, request.url, tuple(request.headers.items()), body, length)
        return await under_way.enter_async_context(self._client.open(streamed))

    async def _renewed(self, actor: Actor, connection_id: UUID, rejected: Subject) -> Subject | None:
        """The connection with a newer credential than the rejected one; None where there is none, or it may not be used any more."""
        try:
            if (newer := await self._newer(actor, connection_id, rejected)) is not None:
                return newer
            await self._refresher.look_into_rejection(connection_id, rejected.credential.generation)
            return await self._newer(actor, connection_id, rejected)
        # The status says why. The caller is told what the provider said.
        except (PatchbayError, Unreadable, KeyUnavailable):
            return None

    async def _newer(self, actor: Actor, connection_id: UUID, rejected: Subject) -> Subject | None:
        await self._access.connection(actor, connection_id, Permission.USE)
        subject = await self._subjects.get(connection_id)
        is_newer = subject.credential.generation > rejected.credential.generation
        return subject if is_newer and subject.connection.status is not ConnectionStatus.DISABLED else None


@dataclass(frozen=True, slots=True)
class _Sent:
    """A call with one credential: where it goes, what goes along, and what of the answer is told."""

    subject: Subject
    passage: Passage = field(repr=False)
    target: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    redaction: Redaction

    @classmethod
    def of(cls, call: Call, subject: Subject) -> "_Sent":
        """Raises InvalidInput, Conflict."""
        presentation = subject.provider.presentation(subject.secrets)
        passage = Passage(_base_url(subject), call.prefix, frozenset(presentation.query))
        headers = headers_up(call.headers, presentation.all_headers)
        if "destination" in headers:
            # Where WebDAV copies and moves to.
            headers["destination"] = passage.outward(headers["destination"])
        held = [secret.reveal() for secret in (*subject.secrets.fields.values(), subject.secrets.access_token) if secret is not None]
        redaction = Redaction(secrets_of(presentation.credential_headers, presentation.query, held))
        return cls(subject, passage, passage.target(call.path, call.query), headers, redaction)

    def told(self, answer: StreamedAnswer, call: Call) -> Iterable[tuple[bytes, bytes]]:
        for name, value in headers_down(answer.headers, answer.status, challenges=call.challenges):
            if name in (b"location", b"content-location"):
                value = self.passage.inward(value.decode("latin-1"), self.target).encode("latin-1", "replace")
            yield name, self.redaction.of(value)


def _base_url(subject: Subject) -> str:
    """Raises Conflict."""
    base_url = subject.provider.base_url(subject.secrets)
    if base_url is None:
        raise Conflict(f"Where {subject.provider.name} is called is not known for this connection.", "Connect it again.")
    return base_url


def _require_http(provider: Provider) -> None:
    """Raises Conflict for a provider that is not called by HTTP."""
    if provider.option.login is not None:
        raise Conflict(
            f"{provider.name} is logged in to by another protocol than HTTP, and cannot be called through here.",
            "Patchbay keeps this credential and proves it, and hands it to nobody.",
        )


async def _body(upload: Upload | None, *, whole: bool) -> bytes | Upload | None:
    """What is sent along: as a whole where it is signed, or little."""
    if upload is None:
        return None
    if whole:
        return await upload.whole(at_most=_SIGNED_BYTES)
    return await upload.whole() if upload.is_little else upload
