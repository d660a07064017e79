"""That a vendor complains, wherever it is asked in another way than it documents: or the proof of the catalogue would prove nothing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.errors import PatchbayError
from tests.catalog.simulator.installation import Simulation
from tests.catalog.simulator.vendor import Assertion, Sends, Signed, Way, read_vendors

pytestmark = pytest.mark.anyio

WAYS = {str(way): way for way in read_vendors()}


def way(name: str, **changes: Any) -> Way:
    """A way, of which one thing is said otherwise; what is below `token` and `calls` by a name with an underscore."""
    found = WAYS[name]
    assert found.token is not None or not any(key.startswith("token_") for key in changes)
    token = {key.removeprefix("token_"): changes.pop(key) for key in list(changes) if key.startswith("token_")}
    call = {key.removeprefix("call_"): changes.pop(key) for key in list(changes) if key.startswith("call_")}
    if found.token is not None and token:
        changes["token"] = replace(found.token, **token)
    if call:
        changes["calls"] = [replace(one, **call) for one in found.calls]
    return replace(found, **changes)


def assertion(name: str, **claims: str) -> Assertion:
    found = WAYS[name].assertion
    assert found is not None
    return replace(found, claims={**found.claims, **claims})


OTHERWISE = {
    "another consent page": way("asana-consent", authorize="https://app.asana.com/oauth_authorize"),
    "another host of the consent page": way("asana-consent", authorize="https://asana.com/-/oauth_authorize"),
    "a parameter of the consent": way("dropbox-consent", authorize="https://www.dropbox.com/oauth2/authorize"),
    "a missing parameter of the consent": way("asana-consent", authorize="https://app.asana.com/-/oauth_authorize?access_type=offline"),
    "scopes that are unknown": way("asana-consent", scopes=["openid"]),
    "scopes apart otherwise": way("asana-consent", scope_separator=","),
    "scopes in another parameter": way("asana-consent", scope_parameter="scopes"),
    "scopes at all": way("asana-consent", scope_parameter=""),
    "PKCE that is refused": way("asana-consent", pkce="refused"),
    "PKCE that is required": way("linkedin-consent", pkce="required"),
    "another token endpoint": way("asana-consent", token_request="POST https://app.asana.com/oauth_token"),
    "another method of the token endpoint": way("asana-consent", token_request="GET https://app.asana.com/-/oauth_token"),
    "the client in Basic": way("asana-consent", token_client="basic"),
    "the client in the form": way("calendly-consent", token_client="post"),
    "tokens by JSON": way("asana-consent", token_body="json"),
    "a form instead of JSON": way("zendesk-consent", token_body="form"),
    "tokens by the query": way("asana-consent", token_body="query"),
    "another grant": way("zoom-client_credentials", token_grant="client_credentials"),
    "a parameter of the token request": way("box-client_credentials", token_parameters={"box_subject_type": "enterprise"}),
    "a missing parameter of the token request": way("asana-consent", token_parameters={"audience": "api"}),
    "another address of the proof": way("asana-consent", call_request="GET https://app.asana.com/api/1.0/users"),
    "another query of the proof": way("google-drive-consent", call_request="GET https://www.googleapis.com/drive/v3/about"),
    "another method of the proof": way("slack-personal_access_token", call_request="GET https://slack.com/api/auth.test"),
    "a header of the proof": way("intercom-personal_access_token", call_headers={"Intercom-Version": "1.0"}),
    "a body of the proof": way("jina-ai-api_key", call_request="POST https://api.jina.ai/v1/embeddings", call_json={"model": "other"}),
    "a value of a form": way("amazon-polly-aws_access_key", call_form={"Action": "GetSessionToken", "Version": "2011-06-15"}),
    "the key in another header": way("activecampaign-api_key", sends=Sends(headers={"Authorization": "Bearer {api_key}"})),
    "the key in the query": way("activecampaign-api_key", sends=Sends(query={"key": "{api_key}"})),
    "the key as a password": way("activecampaign-api_key", sends=Sends(basic=["{api_key}", ""])),
    "another service that is signed for": way(
        "amazon-polly-aws_access_key", call_sends=Sends(signed=Signed(service="polly", region="eu-central-1"))
    ),
    "another region that is signed for": way(
        "amazon-polly-aws_access_key", call_sends=Sends(signed=Signed(service="sts", region="us-east-1"))
    ),
    "another realm": way("oracle-netsuite-custom", sends=Sends(signed=Signed(realm="1234567-sb1"))),
    "another method of signing": way("oracle-netsuite-custom", sends=Sends(signed=Signed(realm="1234567_SB1", method="HMAC-SHA1"))),
    "another audience of an assertion": way(
        "docusign-assertion", assertion=assertion("docusign-assertion", aud="https://account.docusign.com")
    ),
    "another header of an assertion": way("box-assertion", assertion=replace(assertion("box-assertion"), header={})),
    "a shorter life of an assertion": way("box-assertion", assertion=replace(assertion("box-assertion"), lifetime=30)),
}


@pytest.mark.parametrize("otherwise", OTHERWISE)
async def test_a_vendor_that_is_otherwise_complains(simulation: Simulation, otherwise: str) -> None:
    stage = simulation.play(OTHERWISE[otherwise])

    for scopes in (stage.way.all_scopes or None, None):
        try:
            await stage.connect(scopes=scopes)
        except PatchbayError:
            pass

    assert stage.player.complaints or stage.player.refusals


@pytest.mark.parametrize("name", ["asana-consent", "amazon-polly-aws_access_key", "oracle-netsuite-custom", "expensify-api_key"])
async def test_a_credential_that_is_not_good_is_no_reason_to_complain(simulation: Simulation, name: str) -> None:
    stage = simulation.play(WAYS[name])
    stage.player.kill()

    try:
        await stage.connect()
    except PatchbayError:
        pass

    assert (stage.player.complaints, len(stage.player.refusals)) == ([], 1)


def test_a_description_is_read_strictly(tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_text('[api_key]\nsecret = { api_key = "1" }\nsend = { headers = {} }\n')

    with pytest.raises(ValueError, match=r"acme\.toml: api_key: .*send"):
        read_vendors(tmp_path)
