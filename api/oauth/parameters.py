"""What stands in requests, as Authlib writes it."""

from collections.abc import Sequence
from urllib.parse import parse_qsl

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7009.parameters import prepare_revoke_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from api.oauth.tokens import TokenHint
from api.secret import Secret


def with_query(url: str, parameters: Sequence[tuple[str, str]]) -> str:
    return str(add_params_to_uri(url, parameters))


def consent_url(url: str, client_id: str, redirect_uri: str, state: Secret) -> str:
    return str(prepare_grant_uri(url, client_id, "code", redirect_uri=redirect_uri, state=state.reveal()))


def of_challenge(code_verifier: Secret) -> dict[str, str]:
    return {"code_challenge": create_s256_code_challenge(code_verifier.reveal()), "code_challenge_method": "S256"}


def of_revocation(token: Secret, hint: TokenHint | None) -> dict[str, str]:
    return dict(parse_qsl(prepare_revoke_token_request(token.reveal(), hint)[0], keep_blank_values=True))
