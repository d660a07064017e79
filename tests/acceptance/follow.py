"""Follow the stream of status changes with the Python client `gql`, and print each event as a line of JSON.

usage: python follow.py URL TOKEN [AFTER]
"""

import asyncio
import json
import sys

from gql import Client, gql
from gql.transport.websockets import WebsocketsTransport

FOLLOW = """
subscription Follow($after: String) {
  connectionStatusChanged(after: $after) { cursor type connectionId previousStatus status reason { code fixableBy } }
}
"""


async def follow(url: str, token: str, after: str | None = None) -> None:
    transport = WebsocketsTransport(
        url=url.replace("http", "ws", 1),
        init_payload={"authorization": f"Bearer {token}"},
        subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],
    )
    request = gql(FOLLOW)
    request.variable_values = {"after": after}
    async with Client(transport=transport) as session:
        async for result in session.subscribe(request):
            print(json.dumps(result["connectionStatusChanged"]), flush=True)


if __name__ == "__main__":
    asyncio.run(follow(*sys.argv[1:]))
