"""HTTP that is not GraphQL: pages for people, the provider's callback, the state of the service."""

from starlette.routing import BaseRoute

from api.routes import callback, files, health, icons, identity, playground, signing_in
from api.settings import Settings


def routes(settings: Settings) -> list[BaseRoute]:
    """To stand before the GraphQL endpoint, whose address the playground shares."""
    pages = [*files.routes(), *signing_in.routes(), *identity.routes(), *callback.routes(), *icons.routes(), *health.routes()]
    return [*playground.routes(), *pages] if settings.playground else pages
