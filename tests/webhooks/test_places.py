"""How many attempts may be under way at once, in all, at a webhook and at a host."""

from uuid import UUID

from api.webhooks.places import Places


def url(host: int) -> str:
    return f"https://host{host}.example/hook"


def fill(places: Places, webhook: int, host: int) -> int:
    """Take what is free at a webhook; how much that was."""
    free = places.free_at(UUID(int=webhook), url(host))
    for _ in range(free):
        places.take(UUID(int=webhook), url(host))
    return free


def test_a_webhook_has_four_and_a_host_eight() -> None:
    places = Places()

    assert [fill(places, webhook, host=1) for webhook in (1, 1, 2, 3)] == [4, 0, 4, 0]
    assert fill(places, 4, host=2) == 4
    assert places.full_webhooks == [UUID(int=1), UUID(int=2), UUID(int=4)]


def test_there_are_sixty_four_in_all() -> None:
    places = Places()

    assert [fill(places, number, host=number) for number in range(17)] == [4] * 16 + [0]
    assert places.free == 0


def test_a_place_that_is_given_back_is_free() -> None:
    places = Places()
    fill(places, 1, host=1)

    with places.given_back(UUID(int=1), url(1)):
        assert places.free_at(UUID(int=1), url(1)) == 0

    assert (places.free_at(UUID(int=1), url(1)), places.full_webhooks) == (1, [])
