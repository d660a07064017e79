"""One who claims what is due again and again, as a process of its own: beside others it tells whether two ever got the same.

usage: python -m tests.bench.claimer DATABASE_URL HOLDER CLAIMS; it begins at a line on standard input, and answers with JSON lines.
"""

import asyncio
import json
import sys
import time
from datetime import timedelta

from api.clock import utc_now
from models.database import open_database
from models.leases import Due, Term, claim_due

LIMIT, LATE_LIMIT = 200, 25
_LEASE, _LATE = timedelta(hours=1), timedelta(minutes=10)


async def claim(holder: str) -> list[Due]:
    """As the loop does it, but that nobody works on what was claimed."""
    now = utc_now()
    return await claim_due(Term(holder, now, now + _LEASE, 0), limit=LIMIT, late=now - _LATE, late_limit=LATE_LIMIT)


async def _claim_again_and_again(url: str, holder: str, claims: int) -> None:
    async with open_database(url):
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(claims):
            began = time.perf_counter()
            due = await claim(holder)
            took = time.perf_counter() - began
            print(json.dumps({"milliseconds": 1000 * took, "ids": [str(each.lease.connection_id) for each in due]}))


if __name__ == "__main__":
    asyncio.run(_claim_again_and_again(sys.argv[1], sys.argv[2], int(sys.argv[3])))
