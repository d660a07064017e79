from tests.connections.conftest import clock, here, token_endpoint
from tests.outward import outward
from tests.routes.conftest import live_site, secure_site, site

__all__ = ["clock", "here", "live_site", "outward", "secure_site", "site", "token_endpoint"]
