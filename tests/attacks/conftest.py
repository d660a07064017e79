from tests.connections.conftest import clock, here, token_endpoint
from tests.graphql.conftest import graph
from tests.outbound.test_http import authority, ca_file
from tests.outward import outward
from tests.routes.conftest import live_site, secure_site, site

__all__ = ["authority", "ca_file", "clock", "graph", "here", "live_site", "outward", "secure_site", "site", "token_endpoint"]
