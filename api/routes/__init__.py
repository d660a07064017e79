"""HTTP that is not GraphQL: pages for people, the provider's callback, the state of the service, and doors for programs."""

from starlette.routing import BaseRoute

from api.clock import seconds_since_boot
from api.routes import callback, credentials, files, health, icons, identity, playground, proxy, signing_in
from api.routes.programs import Callers
from api.settings import Settings
from api.throttling import Buckets, calls_of_users


def routes(settings: Settings, calls: Buckets | None = None) -> list[BaseRoute]:
    """`calls`: what each user may ask for."""
    callers = Callers(calls_of_users(settings.request_rate, seconds_since_boot) if calls is None else calls)
    pages = [*files.routes(), *signing_in.routes(), *identity.routes(), *callback.routes(), *icons.routes(), *health.routes()]
    return [*pages, *credentials.routes(callers), *proxy.routes()]


def before_graphql(settings: Settings) -> list[BaseRoute]:
    """To stand before the GraphQL endpoint, whose address the playground shares."""
    return playground.routes() if settings.playground else []
