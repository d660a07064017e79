"""Mail servers and a directory that others wrote: Twisted's IMAP and POP3, ldaptor's LDAP. A process of their own.

    python -m tests.outbound.foreign CERTIFICATE_AND_KEY USERNAME PASSWORD

It prints its ports as one line of JSON (protocol → security → port), and ends when its input does. What is ours are a few lines each:
Twisted's POP3 knows no STLS, ldaptor neither StartTLS nor “Who am I?”.
"""

import json
import sys
from pathlib import Path
from typing import Any

from ldaptor import interfaces
from ldaptor.inmemory import ReadOnlyInMemoryLDAPEntry
from ldaptor.protocols import pureldap
from ldaptor.protocols.ldap.ldapserver import LDAPServer
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet import protocol, reactor, ssl, stdio
from twisted.mail import imap4, pop3
from twisted.python.components import registerAdapter
from zope.interface import implementer

DIRECTORY = "dc=example"


@implementer(IRealm)
class Realm:
    def requestAvatar(self, username: bytes, _: object, *wanted: Any) -> tuple[Any, Any, Any]:  # noqa: N802
        made = {imap4.IAccount: imap4.MemoryAccount, pop3.IMailbox: lambda _: pop3.Mailbox()}
        return wanted[0], made[wanted[0]](username), lambda: None


class Pop3(pop3.POP3):  # type: ignore[misc]
    AUTH_CMDS = (*pop3.POP3.AUTH_CMDS, b"STLS")
    tls: Any = None

    def do_STLS(self) -> None:  # noqa: N802
        if self.tls is None:
            self.failResponse(b"no")
        else:
            self.successResponse(b"begin")
            self.transport.startTLS(self.tls)


class Directory(LDAPServer):  # type: ignore[misc]
    tls: Any = None

    def extendedRequest_StartTLS(self, _: object, reply: Any) -> None:  # noqa: N802
        reply(pureldap.LDAPStartTLSResponse(resultCode=0 if self.tls else 2))
        if self.tls:
            self.transport.startTLS(self.tls)

    def extendedRequest_WhoAmI(self, _: object, reply: Any) -> Any:  # noqa: N802
        return pureldap.LDAPExtendedResponse(resultCode=0, response=b"dn:" + self.boundUser.dn.getText().encode())

    extendedRequest_StartTLS.oid = pureldap.LDAPStartTLSRequest.oid  # type: ignore[attr-defined]
    extendedRequest_WhoAmI.oid = b"1.3.6.1.4.1.4203.1.11.3"  # type: ignore[attr-defined]


class DirectoryFactory(protocol.ServerFactory):  # type: ignore[misc]
    root: Any = None


def serve(certificate: Path, username: str, password: str) -> dict[str, dict[str, int]]:
    tls = ssl.PrivateCertificate.loadPEM(certificate.read_bytes()).options()
    people = InMemoryUsernamePasswordDatabaseDontUse()
    people.addUser(username.encode(), password.encode())
    portal = Portal(Realm(), [people])

    def imap(context: Any) -> Any:
        server = imap4.IMAP4Server(contextFactory=context)
        server.portal = portal
        return server

    def mail(context: Any) -> Any:
        server = Pop3()
        server.portal, server.tls = portal, context
        return server

    def directory(context: Any) -> Any:
        server = Directory()
        server.factory, server.tls = directory_factory, context
        return server

    directory_factory = DirectoryFactory()
    directory_factory.root = ReadOnlyInMemoryLDAPEntry(DIRECTORY, {"objectClass": ["dcObject"]})
    directory_factory.root.addChild(f"uid={username}", {"objectClass": ["account"], "userPassword": [password]})
    registerAdapter(lambda factory: factory.root, DirectoryFactory, interfaces.IConnectedLDAPEntry)
    return {name: _listen(make, tls) for name, make in {"imap": imap, "pop3": mail, "ldap": directory}.items()}


def _listen(make: Any, tls: Any) -> dict[str, int]:
    def factory(context: Any) -> Any:
        made = protocol.ServerFactory()
        made.buildProtocol = lambda _: make(context)
        return made

    listeners = {
        "tls": reactor.listenSSL(0, factory(None), tls, interface="127.0.0.1"),
        "starttls": reactor.listenTCP(0, factory(tls), interface="127.0.0.1"),
        "none": reactor.listenTCP(0, factory(None), interface="127.0.0.1"),
    }
    return {security: listener.getHost().port for security, listener in listeners.items()}


class UntilLeft(protocol.Protocol):  # type: ignore[misc]
    def connectionLost(self, reason: object = None) -> None:  # noqa: N802
        reactor.stop()


if __name__ == "__main__":
    print(json.dumps(serve(Path(sys.argv[1]), *sys.argv[2:])), flush=True)
    input_of_parent = stdio.StandardIO(UntilLeft())
    reactor.run()
