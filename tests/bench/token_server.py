"""A token endpoint that is never in the way, as a process of its own: new tokens for whatever comes, at once or after a while.

usage: python -m tests.bench.token_server MILLISECONDS CLOSES [CERTIFICATE]; it tells its port on standard output. Where CLOSES is 1, each
connection ends with its answer.
"""

import asyncio
import itertools
import ssl
import sys
from typing import cast

_LENGTH = b"content-length:"
_numbers = itertools.count(1)


class Endpoint(asyncio.Protocol):
    def __init__(self, delay: float, closes: bool) -> None:
        self._delay = delay
        self._closes = closes
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end or len(body) < _body_length(head):
            return
        self._buffer = b""
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._answer)
        else:
            self._answer()

    def _answer(self) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(_answer(next(_numbers), closes=self._closes))
        if self._closes:
            self._transport.close()


def _body_length(head: bytes) -> int:
    lower = head.lower()
    begin = lower.find(_LENGTH)
    return 0 if begin < 0 else int(lower[begin + len(_LENGTH) :].split(b"\r\n", 1)[0])


def _answer(number: int, *, closes: bool) -> bytes:
    # As long as many tokens are.
    access, refresh = f"access-{number}-".ljust(400, "a"), f"refresh-{number}-".ljust(200, "r")
    body = f'{{"access_token":"{access}","refresh_token":"{refresh}","token_type":"Bearer","expires_in":3600,"scope":"read write"}}'
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return (head + ("Connection: close\r\n" if closes else "") + "\r\n" + body).encode()


async def main(delay: float, closes: bool, certificate: str | None) -> None:
    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    server = await asyncio.get_running_loop().create_server(lambda: Endpoint(delay, closes), "127.0.0.1", 0, ssl=tls, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) / 1000, sys.argv[2] == "1", sys.argv[3] if len(sys.argv) > 3 else None))
