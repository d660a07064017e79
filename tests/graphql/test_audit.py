"""The audit of graphql-http, which checks servers against the GraphQL-over-HTTP specification."""

import asyncio
import json
from pathlib import Path

import pytest

from api.graphql import routes
from tests.graphql.asking import Graph
from tests.graphql.endpoint import open_routes

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

ACCEPTANCE = Path(__file__).parent.parent / "acceptance"


async def test_graphql_http_finds_nothing_to_complain_about(graph: Graph) -> None:
    async with open_routes(graph.here, routes(graph.here.patchbay.settings, allow_get=True)) as endpoint:
        process = await asyncio.create_subprocess_exec(
            "node", "audit.mjs", endpoint.url, endpoint.token, cwd=ACCEPTANCE, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await asyncio.wait_for(process.communicate(), 50)

    results = json.loads(output)
    assert process.returncode == 0
    assert {result["name"]: result["reason"] for result in results if result["status"] != "ok"} == {}
    assert len(results) == 61
