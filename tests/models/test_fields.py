from datetime import UTC, datetime

import pytest

import models

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_sealed_bytes_never_print() -> None:
    sealed = models.Sealed(b"ciphertext")

    assert repr(sealed) == str(sealed) == f"{sealed}" == "Sealed(10 bytes)"
    assert sealed == b"ciphertext"


@pytest.mark.anyio
@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("plain", [b"secret", "secret", bytearray(b"secret")])
async def test_a_sealed_column_refuses_what_is_not_sealed(plain: object) -> None:
    with pytest.raises(TypeError, match="client_secret takes Sealed bytes, not") as refused:
        await app(plain)

    assert "secret'" not in str(refused.value)
    assert await models.OAuthApp.all().count() == 0

    await app(models.Sealed(b"sealed"))
    with pytest.raises(TypeError):
        await models.OAuthApp.all().update(client_secret=plain)
    found = await models.OAuthApp.get()
    with pytest.raises(TypeError):
        found.update_from_dict({"client_secret": plain})
    object.__setattr__(found, "client_secret", plain)
    with pytest.raises(TypeError):
        await found.save()
    found = await models.OAuthApp.get()
    assert found.client_secret == models.Sealed(b"sealed")
    assert isinstance(found.client_secret, models.Sealed)


@pytest.mark.anyio
@pytest.mark.usefixtures("database")
async def test_a_sealed_column_may_be_empty_where_it_says_so() -> None:
    await app(None)

    assert (await models.OAuthApp.get()).client_secret is None


@pytest.mark.anyio
@pytest.mark.usefixtures("database")
async def test_a_word_comes_back_as_its_enumeration_and_no_other_word_goes_in() -> None:
    await app(None)

    assert (await models.OAuthApp.get()).origin is models.OAuthAppOrigin.OPERATOR
    with pytest.raises(ValueError, match="NOBODY"):
        await models.OAuthApp.all().update(origin="NOBODY")
    assert (await models.OAuthApp.get()).origin is models.OAuthAppOrigin.OPERATOR


async def app(secret: object) -> models.OAuthApp:
    return await models.OAuthApp.create(
        connector_key="github", name="App", client_id="client", client_secret=secret, origin=models.OAuthAppOrigin.OPERATOR, created_at=NOW
    )


def test_a_model_refuses_a_name_that_it_does_not_have() -> None:
    with pytest.raises(TypeError, match="User has no mail"):
        models.User(name="Ada", created_at=NOW, mail="ada@example.com")
