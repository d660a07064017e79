"""How one logs in to a directory: a simple bind of LDAP (RFC 4511, RFC 4513), and the question who that is (RFC 4532).

Of BER there is what these few messages are made of: definite lengths and tags of one byte, which is all that LDAP allows
(RFC 4511 section 5.1). A referral is not followed: it would take the password to a server that nobody named.
"""

from api.names import name_problem
from api.outbound.logins.login import Login, LoginRejected
from api.outbound.logins.wires import NoTls, NoVerdict, Wire

_INTEGER, _OCTETS, _ENUMERATED, _SEQUENCE = 0x02, 0x04, 0x0A, 0x30
_BIND, _BIND_ANSWER, _UNBIND, _EXTENDED, _EXTENDED_ANSWER = 0x60, 0x61, 0x42, 0x77, 0x78
_SIMPLE, _REQUEST_NAME, _RESPONSE_VALUE = 0x80, 0x80, 0x8B

_START_TLS = b"1.3.6.1.4.1.1466.20037"
_WHO_AM_I = b"1.3.6.1.4.1.4203.1.11.3"

_SUCCESS = 0
# constraintViolation (too many failures), noSuchObject, invalidDNSyntax, inappropriateAuthentication, invalidCredentials,
# insufficientAccessRights, unwillingToPerform (the account is locked). All else, such as busy or a referral, judges no credential.
_REJECTIONS = frozenset({19, 32, 34, 48, 49, 50, 53})
_LONGEST_ACCOUNT = 320

Element = tuple[int, bytes]


async def log_in_by_ldap(login: Login, wire: Wire) -> str | None:
    """Who the directory says is signed in, where it says so. Raises LoginRejected, NoVerdict, NoTls."""
    if login.security == "starttls":
        started, _ = await _ask(wire, 1, _extended(_START_TLS), _EXTENDED_ANSWER)
        if started != _SUCCESS:
            raise NoTls
        await wire.secure()
    bind = _element(_INTEGER, b"\x03"), _element(_OCTETS, login.username.encode()), _element(_SIMPLE, login.password.reveal().encode())
    bound, _ = await _ask(wire, 2, _element(_BIND, *bind), _BIND_ANSWER)
    if bound in _REJECTIONS:
        raise LoginRejected
    if bound != _SUCCESS:
        raise NoVerdict
    account = await _who_am_i(wire)
    wire.say(_message(4, _element(_UNBIND)))
    return account


async def _who_am_i(wire: Wire) -> str | None:
    try:
        status, answer = await _ask(wire, 3, _extended(_WHO_AM_I), _EXTENDED_ANSWER)
        name = dict(answer).get(_RESPONSE_VALUE, b"").decode()
    # The credential was good, whatever the directory makes of the question.
    except (NoVerdict, UnicodeDecodeError):
        return None
    return name if status == _SUCCESS and name_problem(name, longest=_LONGEST_ACCOUNT) is None else None


async def _ask(wire: Wire, number: int, request: bytes, kind: int) -> tuple[int, list[Element]]:
    """The result code of an answer, and what follows it."""
    wire.say(_message(number, request))
    tag, size = await _read_head(wire)
    if tag != _SEQUENCE:
        raise NoVerdict
    # Another number is that of an answer to nothing, by which a server says that it leaves. Controls may follow.
    match _elements(await wire.octets(size)):
        case [(0x02, answered), (answer, content), *_] if int.from_bytes(answered, "big") == number and answer == kind:
            match _elements(content):
                case [(0x0A, code), *more] if len(code) == 1:
                    return code[0], more
    raise NoVerdict


def _message(number: int, operation: bytes) -> bytes:
    return _element(_SEQUENCE, _element(_INTEGER, bytes([number])), operation)


def _extended(name: bytes) -> bytes:
    return _element(_EXTENDED, _element(_REQUEST_NAME, name))


def _element(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


async def _read_head(wire: Wire) -> tuple[int, int]:
    tag, first = await wire.octets(2)
    if first < 0x80:
        return tag, first
    if not 0x81 <= first <= 0x84:
        raise NoVerdict
    return tag, int.from_bytes(await wire.octets(first & 0x7F), "big")


def _elements(content: bytes) -> list[Element]:
    """The elements that stand one behind the other. Raises NoVerdict."""
    found: list[Element] = []
    position = 0
    while position < len(content):
        head = content[position : position + 2]
        if len(head) < 2 or head[1] > 0x84 or head[1] == 0x80:
            raise NoVerdict
        start = position + 2
        size = head[1]
        if size > 0x80:
            start += size & 0x7F
            size = int.from_bytes(content[position + 2 : start], "big")
        position = start + size
        if position > len(content):
            raise NoVerdict
        found.append((head[0], content[start:position]))
    return found
