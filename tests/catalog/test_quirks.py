"""What single vendors do otherwise than the rest, as far as no connector shows it by connecting, renewing and ending alone.

Played by the same vendors, each with one thing changed. A value from outside that would lead a request elsewhere must lead nowhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

import models
from api.connections.secrets import Secrets, credential_place
from api.errors import ProviderFailure
from api.secret import Secret
from models import AuthorizationStatus, ConnectionStatus, StatusReason, StatusReasonCode
from tests.catalog.simulator.installation import Simulation, Stage
from tests.catalog.simulator.routes import Act
from tests.catalog.simulator.values import PASSPHRASE
from tests.catalog.simulator.vendor import Assertion, Reply, Request, Tokens, Way, read_vendors

pytestmark = pytest.mark.anyio

WAYS = {str(way): way for way in read_vendors()}

CLOUD = "11223344-a1b2-3c33-4d4d-112233445566"
OTHER_CLOUD = "55667788-a1b2-3c33-4d4d-112233445566"


# Hosts and ids from outside


@pytest.mark.parametrize(
    ("name", "callback"),
    [
        ("citrix-sharefile-consent", {"appcp": "evil.example"}),
        ("citrix-sharefile-consent", {"appcp": "sharefile.com.evil.example"}),
        ("citrix-sharefile-consent", {"subdomain": "acme.evil.example/"}),
        ("citrix-sharefile-consent", {"apicp": "evil-sf-api.com"}),
        ("datadog-consent", {"domain": "evil.example"}),
        ("datadog-consent", {"domain": "datadoghq.eu.evil.example"}),
        ("datadog-consent", {"domain": "datadoghq.eu/#"}),
        ("sap-concur-consent", {"geolocation": "https://evil.example"}),
        ("sap-concur-consent", {"geolocation": "http://us2.api.concursolutions.com"}),
        ("sap-concur-consent", {"geolocation": "https://us2.api.concursolutions.com@evil.example"}),
        ("zoho-campaigns-consent", {"accounts-server": "https://accounts.zoho.evil.example"}),
        ("zoho-desk-consent", {"accounts-server": "http://accounts.zoho.eu"}),
        ("zoho-mail-consent", {"accounts-server": "https://accounts.zoho.eu:8443"}),
    ],
)
async def test_a_host_from_the_callback_is_the_vendors_own(simulation: Simulation, name: str, callback: dict[str, str]) -> None:
    stage = simulation.play(changed(name, callback={**WAYS[name].callback, **callback}))

    reason = await refused(stage)

    assert reason.code is StatusReasonCode.PROVIDER_ERROR
    assert stage.player.requests == []
    await assert_nothing_kept()


@pytest.mark.parametrize(
    ("name", "also"),
    [
        ("deputy-consent", {"endpoint": "https://acme.au.deputy.com.evil.example"}),
        ("pipedrive-consent", {"api_domain": "https://evil.example"}),
        ("salesforce-consent", {"instance_url": "https://evil.example/.my.salesforce.com"}),
        ("salesforce-marketing-cloud-client_credentials", {"rest_instance_url": "https://evil.example/"}),
        ("zoom-client_credentials", {"api_url": "https://api.zoom.us.evil.example"}),
    ],
)
async def test_a_host_from_the_token_answer_is_the_vendors_own(simulation: Simulation, name: str, also: dict[str, str]) -> None:
    token = token_of(name)
    stage = simulation.play(changed(name, token=replace(token, also={**token.also, **also})))

    reason = await refused(stage)

    assert reason.code is StatusReasonCode.PROVIDER_ERROR
    assert stage.player.acts[Act.CALL] == 0
    await assert_nothing_kept()


@pytest.mark.parametrize("base", ["https://evil.example", "https://secure.p03.eloqua.com.evil.example", "http://secure.p03.eloqua.com"])
async def test_a_host_that_is_looked_up_is_the_vendors_own(simulation: Simulation, base: str) -> None:
    stage = simulation.play(with_calls("oracle-eloqua-consent", Reply(json={"site": {"name": "Acme"}, "urls": {"base": base}})))

    assert (await refused(stage)).code is StatusReasonCode.PROVIDER_ERROR
    await assert_nothing_kept()


async def test_zoho_is_asked_for_tokens_in_the_data_center_of_the_callback(simulation: Simulation) -> None:
    """Wherever the person said that the account is."""
    stage = simulation.play(changed("zoho-mail-consent", typed={"accounts_host": "accounts.zoho.com"}, authorize=ZOHO))

    await stage.connect()

    assert stage.player.requests[0].url == "https://accounts.zoho.eu/oauth/v2/token"
    assert stage.player.acts[Act.EXCHANGE] == 1


ZOHO = "https://accounts.zoho.com/oauth/v2/auth?access_type=offline&prompt=consent"


@pytest.mark.parametrize(
    "change", [{"shop": "evil.myshopify.com"}, {"timestamp": "1767614401"}, {"hmac": "0" * 64}, {"hmac": ""}, {"more": "x"}]
)
async def test_shopify_signs_what_the_browser_brings_back(simulation: Simulation, change: dict[str, str]) -> None:
    stage = simulation.play(WAYS["shopify-consent"])

    reason = await refused(stage, callback=change)

    assert reason.code is StatusReasonCode.PROVIDER_ERROR
    assert stage.player.requests == []


# Which account


async def test_atlassian_grants_several_sites_and_one_must_be_chosen(simulation: Simulation) -> None:
    stage = simulation.play(several_sites("jira-consent"))

    reason = await refused(stage)

    assert reason.code is StatusReasonCode.ACCOUNT_MISMATCH
    assert "https://acme.atlassian.net, https://globex.atlassian.net" in reason.remedy
    await assert_nothing_kept()


@pytest.mark.parametrize("name", ["jira-consent", "confluence-cloud-consent"])
async def test_atlassian_is_told_which_site(simulation: Simulation, name: str) -> None:
    stage = simulation.play(several_sites(name))

    connection = await stage.connected(fields={"site_url": "https://globex.atlassian.net"})

    assert connection.site["cloud_id"] == OTHER_CLOUD


async def test_docusign_has_a_default_account(simulation: Simulation) -> None:
    accounts = [docusign_account("a", is_default=False), docusign_account("b", is_default=True)]
    stage = simulation.play(with_calls("docusign-consent", Reply(json={"email": "ada@example.com", "accounts": accounts})))

    connection = await stage.connected()
    chosen = await stage.connected(fields={"wanted_account": accounts[0]["account_id"]})

    assert (connection.site["account_id"], connection.site["base_uri"]) == (accounts[1]["account_id"], "https://b.docusign.net")
    assert (chosen.site["account_id"], chosen.site["base_uri"]) == (accounts[0]["account_id"], "https://a.docusign.net")


@pytest.mark.parametrize(
    ("name", "answer", "field", "chosen", "site"),
    [
        (
            "xero-consent",
            [{"tenantId": CLOUD, "tenantName": "Acme Ltd"}, {"tenantId": OTHER_CLOUD, "tenantName": "Globex"}],
            "organisation",
            "Globex",
            {"tenant_id": OTHER_CLOUD, "tenant_name": "Globex"},
        ),
        (
            "zoho-desk-consent",
            {"data": [{"id": 1, "companyName": "Acme"}, {"id": 3981311, "companyName": "Globex"}]},
            "wanted_org_id",
            "3981311",
            {"org_id": "3981311", "org_name": "Globex"},
        ),
        (
            "workable-consent",
            {"accounts": [{"name": "Acme", "subdomain": "acme"}, {"name": "Globex", "subdomain": "globex"}]},
            "wanted_subdomain",
            "globex",
            {"subdomain": "globex", "account_name": "Globex"},
        ),
        (
            "freshbooks-consent",
            {
                "response": {
                    "email": "ada@example.com",
                    "business_memberships": [
                        {"business": {"id": 1, "account_id": "aaa", "business_uuid": CLOUD, "name": "Acme"}},
                        {"business": {"id": 2, "account_id": "bbb", "business_uuid": OTHER_CLOUD, "name": "Globex"}},
                    ],
                }
            },
            "business",
            "Globex",
            {"business_id": "2", "account_id": "bbb", "business_uuid": OTHER_CLOUD},
        ),
    ],
)
async def test_of_several_accounts_one_is_chosen(
    simulation: Simulation, name: str, answer: Any, field: str, chosen: str, site: Mapping[str, str]
) -> None:
    way = WAYS[name]
    lookups = [replace(lookup, reply=Reply(json=answer)) for lookup in way.lookups]
    stage = simulation.play(replace(way, lookups=lookups, calls=[replace(call, reply=Reply(json=answer)) for call in way.calls]))

    reason = await refused(stage)
    connection = await stage.connected(fields={**way.typed, field: chosen})

    assert reason.code is StatusReasonCode.ACCOUNT_MISMATCH
    assert {key: connection.site[key] for key in site} == site


@pytest.mark.parametrize(
    ("also", "site"),
    [({"account_id": "dbid:A", "uid": "1"}, {"account_id": "dbid:A", "uid": "1"}), ({"team_id": "dbtid:B"}, {"team_id": "dbtid:B"})],
)
async def test_dropbox_names_the_person_or_the_team(simulation: Simulation, also: dict[str, str], site: dict[str, str]) -> None:
    stage = simulation.play(changed("dropbox-consent", token=replace(token_of("dropbox-consent"), also=also)))

    connection = await stage.connected()

    assert connection.site == site


async def test_slack_has_no_team_where_it_was_installed_for_a_whole_organization(simulation: Simulation) -> None:
    token = token_of("slack-consent")
    stage = simulation.play(
        changed("slack-consent", token=replace(token, also={**token.also, "team": None, "is_enterprise_install": True}))
    )

    connection = await stage.connected()

    assert connection.site == {"bot_user_id": "U0KRQLJ9H"}


async def test_slack_gives_a_bot_and_a_person_in_one_answer_and_the_bot_is_meant(simulation: Simulation) -> None:
    token = token_of("slack-consent")
    person = {"id": "U1", "access_token": "xoxp-1", "refresh_token": "xoxe-1", "token_type": "user"}
    stage = simulation.play(changed("slack-consent", token=replace(token, also={**token.also, "authed_user": person})))

    connection = await stage.connected()

    secrets = await secrets_of(simulation, connection)
    assert secrets.access_token == Secret("access-1")
    assert secrets.refresh_token == Secret("refresh-1")


# Scopes


async def test_google_lets_people_untick_scopes(simulation: Simulation) -> None:
    stage = simulation.play(WAYS["google-drive-consent"])
    stage.player.withheld = {"https://www.googleapis.com/auth/drive.metadata.readonly", "https://www.googleapis.com/auth/drive.file"}

    connection = await stage.connected()

    assert connection.status is ConnectionStatus.CONNECTED
    assert set(connection.missing_scopes) == stage.player.withheld
    assert "https://www.googleapis.com/auth/drive" in connection.scopes


async def test_without_any_scope_of_drive_google_still_says_who_signed_in(simulation: Simulation) -> None:
    stage = simulation.play(with_calls("google-drive-consent", Reply(status=403, json={}), None))
    stage.player.withheld = {scope for scope in stage.way.scopes if "/drive" in scope}

    connection = await stage.connected()

    assert (connection.account, set(connection.missing_scopes)) == ("ada@example.com", stage.player.withheld)


async def test_pagerduty_drops_scopes_without_a_word(simulation: Simulation) -> None:
    stage = simulation.play(WAYS["pagerduty-consent"])
    stage.player.withheld = {"incidents.write"}

    connection = await stage.connected()

    assert connection.missing_scopes == ["incidents.write"]


async def test_microsoft_answers_with_long_names_and_without_those_of_openid(simulation: Simulation) -> None:
    granted = "https://graph.microsoft.com/User.Read https://graph.microsoft.com/Mail.Send"
    token = replace(token_of("microsoft-365-consent"), also={"scope": granted})
    stage = simulation.play(changed("microsoft-365-consent", token=token))
    asked = ("offline_access", "openid", "profile", "User.Read", "Mail.Send", "Mail.ReadWrite")

    connection = await stage.connected(scopes=asked)

    assert connection.missing_scopes == ["Mail.ReadWrite"]


async def test_shopify_leaves_out_that_who_may_write_may_read(simulation: Simulation) -> None:
    token = replace(token_of("shopify-consent"), also={"scope": "write_products,write_orders"})
    stage = simulation.play(changed("shopify-consent", token=token))

    connection = await stage.connected(scopes=("read_products", "write_products", "read_orders", "write_orders", "read_customers"))

    assert connection.missing_scopes == ["read_customers"]


async def test_marketos_scope_is_the_address_of_its_user(simulation: Simulation) -> None:
    stage = simulation.play(WAYS["marketo-client_credentials"])

    connection = await stage.connected()

    assert (connection.account, connection.scopes, connection.missing_scopes) == ("api@acme.example.com", [], [])


# Times


@pytest.mark.parametrize(
    ("name", "lifetime"),
    [
        ("salesforce-consent", timedelta(hours=2)),
        ("stripe-app_consent", timedelta(hours=1)),
        ("workday-rest-client_alone", timedelta(hours=1)),
        ("facebook-consent", timedelta(seconds=5_183_944)),
        ("whatsapp-business-consent", timedelta(days=60)),
        ("github-assertion", timedelta(hours=1)),
        ("github-consent", None),
        ("intercom-consent", None),
        ("mailchimp-consent", None),
        ("stripe-consent", None),
    ],
)
async def test_a_token_ends_though_nobody_says_when_or_never(simulation: Simulation, name: str, lifetime: timedelta | None) -> None:
    stage = simulation.play(WAYS[name])

    connection = await stage.connected()

    assert connection.expires_at == (None if lifetime is None else simulation.clock.now + lifetime)


@pytest.mark.parametrize(
    ("name", "days"),
    [("linkedin-consent", 365), ("oracle-netsuite-consent", 7), ("okta-consent", 90), ("servicenow-consent", 100)],
)
async def test_a_refresh_token_ends_on_a_fixed_day_however_it_is_used(simulation: Simulation, name: str, days: int) -> None:
    stage = simulation.play(WAYS[name])
    connection = await stage.connected()
    ends_at = simulation.clock.now + timedelta(days=days)

    await stage.come_due(connection)

    credential = await models.Credential.get(connection_id=connection.id)
    assert (credential.generation, credential.refresh_expires_at) == (2, ends_at)


@pytest.mark.parametrize(("name", "days"), [("cisco-webex-consent", 90), ("quickbooks-online-consent", 101)])
async def test_a_refresh_token_that_is_used_lives_on(simulation: Simulation, name: str, days: int) -> None:
    stage = simulation.play(WAYS[name])
    connection = await stage.connected()

    await stage.come_due(connection)

    credential = await models.Credential.get(connection_id=connection.id)
    assert credential.refresh_expires_at == simulation.clock.now + timedelta(days=days)


@pytest.mark.parametrize("name", ["tangocard-client_credentials", "tangocard-password"])
async def test_tango_gives_no_second_token_within_twenty_hours(simulation: Simulation, name: str) -> None:
    stage = simulation.play(WAYS[name])

    connection = await stage.connected()

    assert connection.due_at is not None
    assert timedelta(hours=20) <= connection.due_at - simulation.clock.now < timedelta(hours=24)


async def test_a_refresh_token_is_used_before_it_dies_of_disuse(simulation: Simulation) -> None:
    """SmartRecruiters: 28 days, however long the access token lives."""
    token = replace(token_of("smartrecruiters-consent"), lifetime=86_400 * 300)
    stage = simulation.play(changed("smartrecruiters-consent", token=token))

    connection = await stage.connected()

    assert connection.due_at is not None
    assert connection.due_at - simulation.clock.now < timedelta(days=28)


# Secrets with characters that mean something where they go


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("expensify-api_key", "partner_user_secret"),
        ("citrix-hypervisor-custom", "password"),
        ("uipath-orchestrator-custom", "password"),
        ("zoominfo-custom", "password"),
        ("oracle-eloqua-password", "password"),
        ("sugar-sell-password", "password"),
        ("servicenow-password", "password"),
        ("vmware-vsphere-custom", "password"),
        ("exchange-server-basic", "password"),
        ("google-maps-api_key", "api_key"),
    ],
)
async def test_a_secret_stays_one_value_whatever_it_holds(simulation: Simulation, name: str, field: str) -> None:
    secret = "AIza" + "0_-" * 12 if name == "google-maps-api_key" else """q"'\\}{<&>%2f+=;:/?#[] $"""
    way = WAYS[name]
    stage = simulation.play(replace(way, secret={**way.secret, field: secret}))

    connection = await stage.connected()

    assert connection.status is ConnectionStatus.CONNECTED


async def test_a_password_in_a_document_is_written_as_text_of_it(simulation: Simulation) -> None:
    """Workday, in SOAP."""
    way = WAYS["workday-custom"]
    contains = ["ISU_Connections@acme_dpt1", ">p&amp;&lt;/w&gt;{}&quot;<"]
    stage = simulation.play(replace(way, secret={"password": 'p&</w>{}"'}, calls=[replace(way.calls[0], contains=contains)]))

    await stage.connected()


async def test_an_encrypted_key_signs(simulation: Simulation) -> None:
    """Snowflake, where the fingerprint of the key is claimed as well; and the account's name is cut and written in capitals."""
    way = WAYS["snowflake-assertion"]
    claims = {"iss": "XY12345.SVC_CONNECTIONS.SHA256:{rsa_fingerprint}", "sub": "XY12345.SVC_CONNECTIONS"}
    stage = simulation.play(
        replace(
            way,
            typed={"account_identifier": "xy12345.eu-central-1", "user": "svc_connections"},
            secret={"private_key": "{rsa_locked}", "private_key_passphrase": PASSPHRASE},
            assertion=Assertion(claims=claims),
            calls=[replace(way.calls[0], request=f"POST https://xy12345.eu-central-1.snowflakecomputing.com/{STATEMENTS}")],
        )
    )

    connection = await stage.connected()

    assert connection.account == "ADA"


STATEMENTS = "api/v2/statements"


async def test_snowflake_writes_a_hyphen_for_an_underscore_in_its_host(simulation: Simulation) -> None:
    way = WAYS["snowflake-personal_access_token"]
    call = replace(way.calls[0], request=f"POST https://my-org-my-account.snowflakecomputing.com/{STATEMENTS}")
    stage = simulation.play(replace(way, typed={"account_identifier": "MY_ORG-MY_ACCOUNT"}, calls=[call]))

    await stage.connected()


@pytest.mark.parametrize("name", ["amazon-connect-aws_access_key", "amazon-polly-aws_access_key"])
async def test_a_temporary_key_of_aws_is_signed_with_its_session_token(simulation: Simulation, name: str) -> None:
    way = WAYS[name]
    stage = simulation.play(replace(way, secret={**way.secret, "session_token": "IQoJb3JpZ2luX2VjEHk="}))

    await stage.connected()

    assert "x-amz-security-token" in stage.player.requests[-1].headers


# Answers that mean something else than their status


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("servicenow-basic", {"result": []}),
        ("servicenow-api_key", {"result": []}),
        ("zendesk-basic", {"user": {"id": None, "name": "Anonymous user"}}),
        ("marketo-client_credentials", {"success": False, "errors": [{"code": "603", "message": "Access denied"}]}),
        ("google-maps-api_key", {"status": "REQUEST_DENIED"}),
        ("zoho-campaigns-consent", {"status": "error", "code": "1007"}),
    ],
)
async def test_a_success_may_be_a_rejection(simulation: Simulation, name: str, answer: Any) -> None:
    stage = simulation.play(with_calls(name, Reply(json=answer)))

    assert (await refused(stage)).code is StatusReasonCode.CREDENTIAL_REJECTED
    await assert_nothing_kept()


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("marketo-client_credentials", {"success": False, "errors": [{"code": "606", "message": "Max rate limit exceeded"}]}),
        ("google-maps-api_key", {"status": "OVER_QUERY_LIMIT"}),
        ("exchange-rates-api_key", {"success": False, "error": {"code": 104}}),
        ("expensify-api_key", {"responseCode": 429}),
        ("slack-personal_access_token", {"ok": False, "error": "ratelimited"}),
    ],
)
async def test_a_vendor_that_is_busy_says_nothing_of_the_credential(simulation: Simulation, name: str, answer: Any) -> None:
    stage = simulation.play(with_calls(name, Reply(json=answer)))

    assert (await refused(stage)).code is StatusReasonCode.RATE_LIMITED


@pytest.mark.parametrize(
    ("name", "replies", "account"),
    [
        ("twilio-basic", [Reply(status=401, json={}), None], "AC0123456789abcdef0123456789abcdef"),
        ("sendgrid-api_key", [Reply(status=403, json={}), None], None),
        ("woocommerce-basic", [Reply(status=403, json={}), None], None),
        ("pagerduty-api_key", [Reply(status=400, json={}), None], None),
        ("freshsales-api_key", [Reply(status=404, json={}), None], None),
        ("uipath-orchestrator-personal_access_token", [Reply(status=403, json={}), None], "acme"),
        ("okta-consent", [Reply(status=403, json={}), None], "ada@example.com"),
        ("greenhouse-basic", [Reply(status=403, json={})], None),
        ("microsoft-365-client_credentials", [Reply(status=403, json={})], "contoso.onmicrosoft.com"),
    ],
)
async def test_a_credential_that_may_not_ask_for_everything_is_good(
    simulation: Simulation, name: str, replies: Sequence[Reply | None], account: str | None
) -> None:
    stage = simulation.play(with_calls(name, *replies))

    connection = await stage.connected()

    assert (connection.status, connection.account) == (ConnectionStatus.CONNECTED, account)


async def test_docusign_wants_the_consent_of_the_user_first(simulation: Simulation) -> None:
    token = replace(token_of("docusign-assertion"), refuses=Reply(status=400, json={"error": "consent_required"}))
    stage = simulation.play(changed("docusign-assertion", token=token))
    stage.player.kill()

    assert (await refused(stage)).code is StatusReasonCode.ACCESS_DENIED


async def test_zoho_counts_tokens_and_says_access_denied(simulation: Simulation) -> None:
    refresh = WAYS["zoho-mail-consent"].refresh
    assert refresh is not None
    stage = simulation.play(
        changed("zoho-mail-consent", refresh=replace(refresh, refuses=Reply(status=400, json={"error": "Access_Denied"})))
    )
    connection = await stage.connected()
    stage.player.kill()

    connection = await stage.come_due(connection)

    assert connection.status is ConnectionStatus.CONNECTED
    assert connection.due_at is not None and connection.due_at > simulation.clock.now


async def test_ibm_has_a_text_where_a_refresh_token_would_be(simulation: Simulation) -> None:
    stage = simulation.play(WAYS["ibm-watsonx-ai-api_key"])

    connection = await stage.connected()

    assert (await secrets_of(simulation, connection)).refresh_token is None


async def test_a_code_is_sent_once_whatever_becomes_of_it(simulation: Simulation) -> None:
    """Hootsuite ends every token of a code that it sees twice."""
    token = replace(token_of("hootsuite-consent"), refuses=Reply(status=503, json={}), refuses_client=Reply(status=503, json={}))
    stage = simulation.play(changed("hootsuite-consent", token=token))
    stage.player.kill()

    reason = await refused(stage)

    assert reason.code is StatusReasonCode.PROVIDER_ERROR
    assert len(stage.player.requests) == 1


async def test_a_grant_that_proves_nothing_is_ended_by_what_its_answer_named(simulation: Simulation) -> None:
    """Stripe asks for the id of the account."""
    stage = simulation.play(WAYS["stripe-consent"])
    stage.player.kill_access()

    await refused(stage)

    assert stage.player.acts[Act.REVOKE] == 1


async def test_a_key_that_signs_tokens_of_its_own_is_proven_each_time(simulation: Simulation) -> None:
    """Snowflake: nobody is asked for the token, so only a call tells whether the key is still good."""
    stage = simulation.play(WAYS["snowflake-assertion"])
    connection = await stage.connected()

    connection = await stage.come_due(connection)

    assert stage.player.acts[Act.CALL] == 2
    assert connection.last_verified_at == simulation.clock.now


def changed(name: str, **changes: Any) -> Way:
    return replace(WAYS[name], **changes)


def token_of(name: str) -> Tokens:
    token = WAYS[name].token
    assert token is not None
    return token


def with_calls(name: str, *replies: Reply | None) -> Way:
    """The way with other answers to its proofs, one after the other; None: as it was."""
    way = WAYS[name]
    calls: list[Request] = [replace(call, reply=reply or call.reply) for call, reply in zip(way.calls, replies, strict=True)]
    return replace(way, calls=calls)


def several_sites(name: str) -> Way:
    way = WAYS[name]
    sites = [
        {"id": CLOUD, "url": "https://acme.atlassian.net", "name": "Acme"},
        {"id": OTHER_CLOUD, "url": "https://globex.atlassian.net", "name": "Globex"},
    ]
    return replace(way, lookups=[replace(way.lookups[0], reply=Reply(json=sites))])


def docusign_account(letter: str, *, is_default: bool) -> dict[str, Any]:
    return {
        "account_id": letter * 8 + "-1122-3344-5566-a1b2c3d4e5f6",
        "is_default": is_default,
        "base_uri": f"https://{letter}.docusign.net",
    }


async def refused(stage: Stage, **changes: Any) -> StatusReason:
    """Why the vendor, or Patchbay on its behalf, does not connect."""
    try:
        done = await stage.connect(**changes)
    except ProviderFailure as failure:
        return failure.reason
    assert isinstance(done, models.Authorization), "it is connected"
    assert done.status is not AuthorizationStatus.SUCCEEDED and done.reason is not None
    return done.reason


async def secrets_of(simulation: Simulation, connection: models.Connection) -> Secrets:
    credential = await models.Credential.get(connection_id=connection.id)
    return Secrets.open(simulation.patchbay.vault, credential.secrets, credential_place(credential.id, connection.folder_id))


async def assert_nothing_kept() -> None:
    assert await models.Connection.all().count() == 0
    assert await models.Credential.all().count() == 0
