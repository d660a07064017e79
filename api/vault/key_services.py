"""Master keys that never leave a key service: AWS KMS, and the transit engine of HashiCorp Vault or OpenBao.

The service is asked at start and when keys rotate, never to seal or open a secret: while it is away, what runs goes on. It binds what it
wraps to the context, as a master key of our own does: KMS as encryption context (which its log shows, and which is no secret), transit as
associated data. The check value names the key, since nobody here can compute with it; that it is the right one is proven by what it opens.
"""

import asyncio
import base64
import hashlib
import re
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from api.errors import KeyTrouble
from api.outbound.http import Answer, EgressGuard, OutboundClient, OutboundError, OutboundRequest
from api.secret import Secret
from api.vault.bound import LABEL, bound

_WRAPPED_BY_KMS: Final = b"\x02"
_WRAPPED_BY_TRANSIT: Final = b"\x03"
_SECONDS: Final = 10.0
_LARGEST_ANSWER: Final = 65_536
# The key itself and no alias of it: an alias may be made to mean another key.
_ARN: Final = re.compile(r"arn:aws[a-z-]*:kms:([a-z0-9-]+):[0-9]{12}:key/[A-Za-z0-9-]+")
_TRANSIT_PATH: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+")
_REACH = "See that the key service runs and that this server may use the key. Nothing was written."
_NOT_OURS = "Give the key that belongs to this database, or the database that belongs to this key. Nothing was written."


@dataclass(frozen=True, slots=True)
class AwsKmsKey:
    """A symmetric key of AWS KMS. Credentials are found as every AWS program finds them. Raises KeyTrouble for what is no key's ARN."""

    id: str
    arn: str

    def __post_init__(self) -> None:
        if not _ARN.fullmatch(self.arn):
            raise KeyTrouble(
                f"The master key “{self.id}” does not name a key of AWS KMS.", "Write `aws-kms:id:arn:aws:kms:REGION:ACCOUNT:key/KEY`."
            )

    def check_value(self) -> str:
        return _name_value("aws-kms", self.id, self.arn)

    async def wrap(self, key: bytes, context: bytes) -> bytes:
        answer = await self._call("encrypt", context, Plaintext=key)
        return _WRAPPED_BY_KMS + bytes(answer["CiphertextBlob"])

    async def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        answer = await self._call("decrypt", context, CiphertextBlob=_body(self.id, wrapped, _WRAPPED_BY_KMS))
        return bytes(answer["Plaintext"])

    async def _call(self, operation: str, context: bytes, **parameters: bytes) -> dict[str, Any]:
        try:
            async with asyncio.timeout(_SECONDS):
                return await asyncio.to_thread(self._call_blocking, operation, context, parameters)
        except TimeoutError:
            raise _away(self.id, "it did not answer in time") from None

    def _call_blocking(self, operation: str, context: bytes, parameters: dict[str, bytes]) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            call = getattr(_kms_client(self.arn.split(":")[3]), operation)
            return call(KeyId=self.arn, EncryptionContext={"patchbay": base64.b64encode(context).decode()}, **parameters)  # type: ignore[no-any-return]
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in ("InvalidCiphertextException", "IncorrectKeyException"):
                raise KeyTrouble(f"The master key “{self.id}” does not open a key that it should have wrapped.", _NOT_OURS) from None
            raise _away(self.id, f"AWS KMS says {code or 'no'}") from None
        except BotoCoreError as error:
            raise _away(self.id, f"AWS KMS cannot be asked ({type(error).__name__})") from None


@dataclass(frozen=True, slots=True)
class TransitServer:
    """Where HashiCorp Vault or OpenBao answers, and the token that may use its keys."""

    url: str
    token: Secret = field(repr=False)
    ca_file: Path | None = None

    async def post(self, path: str, body: dict[str, str]) -> Answer:
        """Raises OutboundError."""
        request = OutboundRequest(
            "POST",
            f"{self.url}/v1/{path}",
            {"X-Vault-Token": self.token.reveal(), "Content-Type": "application/json"},
            orjson.dumps(body),
        )
        # Its own client, which may call this one host and nothing else: it is called a few times a year.
        guard = EgressGuard(frozenset({urlsplit(self.url).netloc}))
        async with OutboundClient(guard, ca_file=self.ca_file) as client:
            return await client.send(request, deadline=timedelta(seconds=_SECONDS), max_bytes=_LARGEST_ANSWER)


@dataclass(frozen=True, slots=True)
class TransitKey:
    """A key of a transit engine, by mount and name. Raises KeyTrouble where that is none, or where no server was given."""

    id: str
    path: str
    server: TransitServer | None

    def __post_init__(self) -> None:
        if not _TRANSIT_PATH.fullmatch(self.path):
            raise KeyTrouble(f"The master key “{self.id}” does not name a key of a transit engine.", "Write `vault-transit:id:MOUNT/KEY`.")
        if self.server is None:
            raise KeyTrouble(
                f"The master key “{self.id}” is in a transit engine, and nothing says where that is.",
                "Set PATCHBAY_TRANSIT_URL and PATCHBAY_TRANSIT_TOKEN.",
            )

    def check_value(self) -> str:
        return _name_value("vault-transit", self.id, self.path)

    async def wrap(self, key: bytes, context: bytes) -> bytes:
        ciphertext = await self._ask("encrypt", "ciphertext", context, plaintext=base64.b64encode(key).decode())
        return _WRAPPED_BY_TRANSIT + ciphertext.encode()

    async def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        ciphertext = _body(self.id, wrapped, _WRAPPED_BY_TRANSIT).decode(errors="replace")
        return base64.b64decode(await self._ask("decrypt", "plaintext", context, ciphertext=ciphertext))

    async def _ask(self, operation: str, wanted: str, context: bytes, **parameters: str) -> str:
        assert self.server is not None
        mount, _, name = self.path.rpartition("/")
        body = parameters | {"associated_data": base64.b64encode(context).decode()}
        try:
            answer = await self.server.post(f"{mount}/{operation}/{name}", body)
        except OutboundError as error:
            raise _away(self.id, error.message) from None
        if answer.status == 400 and operation == "decrypt":
            raise KeyTrouble(f"The master key “{self.id}” does not open a key that it should have wrapped.", _NOT_OURS)
        if answer.status != 200:
            raise _away(self.id, f"the transit engine answers {answer.status}")
        try:
            found = orjson.loads(answer.body)["data"][wanted]
        except (ValueError, KeyError, TypeError):
            found = None
        if not isinstance(found, str):
            raise _away(self.id, "the transit engine answers something else")
        return found


@cache
def _kms_client(region: str) -> Any:
    # Imported here: it takes a tenth of a second, which whoever has no such key need not wait for.
    import botocore.session
    from botocore.config import Config

    config = Config(connect_timeout=3, read_timeout=4, retries={"total_max_attempts": 2})
    return botocore.session.get_session().create_client("kms", region_name=region, config=config)


def _name_value(*words: str) -> str:
    return hashlib.sha256(bound(LABEL, *(word.encode() for word in words))).digest()[:16].hex()


def _body(key_id: str, wrapped: bytes, form: bytes) -> bytes:
    if wrapped[:1] != form:
        raise KeyTrouble(f"A key that “{key_id}” should have wrapped has no form that is known here.", _NOT_OURS)
    return wrapped[1:]


def _away(key_id: str, why: str) -> KeyTrouble:
    return KeyTrouble(f"The master key “{key_id}” cannot be used now: {why.rstrip('.')}.", _REACH)
