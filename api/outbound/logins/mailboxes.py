"""How one logs in to a mail server: IMAP (RFC 9051), POP3 (RFC 1939, RFC 2595) and SMTP (RFC 5321, RFC 4954).

Each takes a wire that was just connected, and a credential without line breaks and zero bytes. The password is sent once, by one
mechanism: a server that counts failures counts one. Each returns where the server took the credential, raises LoginRejected where it
did not, NoVerdict where it said neither, and NoTls where STARTTLS was asked for and not given; then nothing secret was said.
"""

import base64
import binascii
import hmac
import re

from api.outbound.logins.login import Login, LoginRejected
from api.outbound.logins.wires import NoTls, NoVerdict, Wire

# Refusals that do not concern the credential (RFC 5530, RFC 3206, RFC 2449).
_IMAP_NOT_JUDGED = frozenset({"UNAVAILABLE", "SERVERBUG", "INUSE", "LIMIT", "PRIVACYREQUIRED", "CLIENTBUG", "CANNOT"})
_POP3_NOT_JUDGED = (b"[SYS/TEMP]", b"[SYS/PERM]", b"[LOGIN-DELAY]")
# Not valid, too weak for this account (an app password is wanted), disabled (RFC 4954 section 6, RFC 7372), and what older servers say.
_SMTP_REJECTIONS = frozenset({525, 534, 535, 550})

_IMAP_STATUS = re.compile(r"(OK|NO|BAD)\b(?: \[([A-Z-]+)[ \]])?", re.ASCII)
# Quotes and backslashes are not among it: not every server reads them escaped.
_IMAP_QUOTABLE = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*", re.ASCII)
_SMTP_REPLY = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)


async def log_in_by_imap(login: Login, wire: Wire) -> None:
    # PREAUTH is refused too: it would mean that nobody looks at the credential, and that TLS cannot begin.
    if not re.match(rb"\* OK\b", await wire.line(), re.IGNORECASE):
        raise NoVerdict
    if login.security == "starttls":
        if (await _ask_imap(wire, "a1", "STARTTLS"))[0] != "OK":
            raise NoTls
        await wire.secure()
    # What was offered before TLS does not count.
    *_, said = await _ask_imap(wire, "a2", "CAPABILITY")
    capabilities = {word for line in said if line.startswith("* CAPABILITY ") for word in line.split()}
    status, code, _ = await _ask_imap(wire, "a3", *_imap_login(login, capabilities))
    wire.say("a4 LOGOUT")
    if status == "NO" and code not in _IMAP_NOT_JUDGED:
        raise LoginRejected
    if status != "OK":
        raise NoVerdict


def _imap_login(login: Login, capabilities: set[str]) -> list[str]:
    """The lines of the command; each but the first waits until the server asks for it."""
    if "AUTH=PLAIN" in capabilities:
        return ["AUTHENTICATE PLAIN", _sasl_plain(login)]
    if "LOGINDISABLED" in capabilities:
        raise NoVerdict
    command = f"LOGIN {_imap_string(login.username)} {_imap_string(login.password.reveal())}"
    return command.split("\r\n")


def _imap_string(text: str) -> str:
    if _IMAP_QUOTABLE.fullmatch(text):
        return f'"{text}"'
    return f"{{{len(text.encode())}}}\r\n{text}"


async def _ask_imap(wire: Wire, tag: str, *lines: str) -> tuple[str, str | None, list[str]]:
    """Status, response code, and the lines said before."""
    first, *more = lines
    wire.say(f"{tag} {first}")
    said: list[str] = []
    while True:
        line = (await wire.line()).decode("ascii", "replace").upper()
        if line.startswith(f"{tag} ".upper()):
            status = _IMAP_STATUS.match(line[len(tag) + 1 :])
            if status is None:
                raise NoVerdict
            return status[1], status[2], said
        if line.startswith("* ") and not line.startswith("* BYE"):
            said.append(line)
        elif line.startswith("+") and more:
            wire.say(more.pop(0))
        else:
            raise NoVerdict


async def log_in_by_pop3(login: Login, wire: Wire) -> None:
    if not await _pop3_agrees(wire):
        raise NoVerdict
    if login.security == "starttls":
        wire.say("STLS")
        if not await _pop3_agrees(wire):
            raise NoTls
        await wire.secure()
    for command in (f"USER {login.username}", f"PASS {login.password.reveal()}"):
        wire.say(command)
        if not await _pop3_agrees(wire):
            raise LoginRejected
    wire.say("QUIT")


async def _pop3_agrees(wire: Wire) -> bool:
    status, _, text = (await wire.line()).partition(b" ")
    match status:
        case b"+OK":
            return True
        # The credential was good, and somebody else reads the mailbox (RFC 2449 section 8.1.2).
        case b"-ERR" if text.upper().startswith(b"[IN-USE]"):
            return True
        case b"-ERR" if not text.upper().startswith(_POP3_NOT_JUDGED):
            return False
    raise NoVerdict


async def log_in_by_smtp(login: Login, wire: Wire) -> None:
    if (await _reply(wire))[0] != 220:
        raise NoVerdict
    mechanisms = await _say_hello(wire)
    if login.security == "starttls":
        wire.say("STARTTLS")
        if (await _reply(wire))[0] != 220:
            raise NoTls
        await wire.secure()
        mechanisms = await _say_hello(wire)
    status = await _authenticate(login, wire, mechanisms)
    wire.say("QUIT")
    if status in _SMTP_REJECTIONS:
        raise LoginRejected
    if status != 235:
        raise NoVerdict


async def _say_hello(wire: Wire) -> set[str]:
    """How the server lets one authenticate; none where it does not say."""
    wire.say("EHLO patchbay.invalid")
    status, lines = await _reply(wire)
    if status != 250:
        raise NoVerdict
    # Old servers write “AUTH=”.
    features = [line.decode("ascii", "replace").upper().replace("=", " ").split() for line in lines[1:]]
    return {word for feature in features if feature[:1] == ["AUTH"] for word in feature[1:]}


async def _authenticate(login: Login, wire: Wire, mechanisms: set[str]) -> int:
    mechanism = next((name for name in ("PLAIN", "LOGIN", "CRAM-MD5") if name in mechanisms), None)
    if mechanism is None:
        raise NoVerdict
    wire.say(f"AUTH {mechanism}")
    status, challenge = await _reply(wire)
    if status == 334:
        for response in _responses(mechanism, login, challenge):
            wire.say(response)
            status, _ = await _reply(wire)
            if status != 334:
                break
    return status


async def _reply(wire: Wire) -> tuple[int, list[bytes]]:
    """Status and lines of a reply."""
    lines: list[bytes] = []
    while True:
        match = _SMTP_REPLY.fullmatch(await wire.line())
        if match is None:
            raise NoVerdict
        lines.append(match[3] or b"")
        if match[2] != b"-":
            return int(match[1]), lines


def _responses(mechanism: str, login: Login, challenge: list[bytes]) -> list[str]:
    match mechanism:
        case "PLAIN":
            return [_sasl_plain(login)]
        case "LOGIN":
            return [_base64(login.username), _base64(login.password.reveal())]
    try:
        text = base64.b64decode(challenge[0], validate=True)
    except binascii.Error:
        raise NoVerdict from None
    return [_base64(f"{login.username} {hmac.new(login.password.reveal().encode(), text, 'md5').hexdigest()}")]


def _sasl_plain(login: Login) -> str:
    """RFC 4616."""
    return _base64(f"\0{login.username}\0{login.password.reveal()}")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
