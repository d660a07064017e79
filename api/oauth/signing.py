"""Requests that are signed as a whole: AWS Signature Version 4, and OAuth 1.0 (RFC 5849).

Few installations need either, so that what signs is imported by the first request that is signed.
"""

from dataclasses import dataclass, field, replace

from api.outbound.http import OutboundRequest
from api.secret import Secret


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """An access key of AWS; with a session token where it is a temporary one."""

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret | None = None


@dataclass(frozen=True, slots=True)
class OAuth1Credentials:
    """A client of OAuth 1.0, and the token that it acts with; without one it signs for itself."""

    client_key: str = field(repr=False)
    client_secret: Secret
    token: Secret | None = None
    token_secret: Secret | None = None


def sign_for_aws(request: OutboundRequest, credentials: AwsCredentials, *, service: str, region: str) -> OutboundRequest:
    """The request with a signature that AWS takes for some minutes.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    session_token = None if credentials.session_token is None else credentials.session_token.reveal()
    signer = SigV4Auth(Credentials(credentials.access_key_id, credentials.secret_access_key.reveal(), session_token), service, region)
    signed = AWSRequest(request.method, request.url, headers=dict(request.headers), data=request.body or b"")
    signer.add_auth(signed)
    return replace(request, headers=dict(signed.headers.items()))


def sign_with_oauth1(request: OutboundRequest, credentials: OAuth1Credentials, *, method: str, realm: str | None = None) -> OutboundRequest:
    """The request with an `Authorization` header of OAuth 1.0 (RFC 5849 section 3.5.1). Raises EgressRefused for plain http."""
    from api.oauth.oauth1 import sign

    return sign(request, credentials, method=method, realm=realm)
