"""Patchbay without a transport: what the doors are given, put together in one place. It is opened by `api.opening`."""

import os
import random
import secrets
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.access import Access
from api.audit import Audit
from api.catalog.catalog import Catalog
from api.clock import Clock, Steady, utc_now
from api.connections.admission import Admission
from api.connections.app_check import AppCheck
from api.connections.app_upkeep import AppUpkeep
from api.connections.building import Building
from api.connections.clock_watch import ClockWatch
from api.connections.connecting import Connecting
from api.connections.consent import Addresses
from api.connections.exchange import Exchange
from api.connections.importing import Importing
from api.connections.incidents import Incidents
from api.connections.issuing import Issuing
from api.connections.journal import Journal
from api.connections.keeping import Keeper
from api.connections.limits import CallLimits
from api.connections.migrating import Migrating
from api.connections.moving import Moving
from api.connections.offers import Offers
from api.connections.outcomes import Outcomes
from api.connections.pacing import Limits, Pacing
from api.connections.proof import Prover
from api.connections.providers import Providers
from api.connections.proxying import Proxying
from api.connections.reading import Reading
from api.connections.refresh_loop import RefreshLoop
from api.connections.refresher import Refresher
from api.connections.renewals import Renewals
from api.connections.server_trial import ServerTrial
from api.connections.service import Connections
from api.connections.sparing import Sparing
from api.connections.subjects import Subjects
from api.connections.trying import Trying
from api.connections.wishes import Wishes
from api.courier.client import Courier
from api.events.feed import EventFeed
from api.events.log import EventLog
from api.events.wakeup import Wakeup
from api.master_keys import master_keys
from api.oauth.client import OAuthClient
from api.organization.app_warnings import AppWarnings
from api.organization.apps import OAuthApps
from api.organization.audit_log import AuditLog
from api.organization.directory import Directory
from api.organization.folders import Folders
from api.organization.groups import Groups
from api.organization.installed import InstalledConnectors
from api.organization.own_connectors import OwnConnectors
from api.organization.people import People
from api.organization.permissions import OrganizationPermissions
from api.organization.policies import Policies
from api.organization.policy_effects import PolicyEffects
from api.organization.rulings import Rulings
from api.organization.suspensions import Suspensions
from api.outbound.http import OutboundClient
from api.outbound.streaming import StreamingClient
from api.replicas import Replicas
from api.settings import Settings
from api.vault.following import RingFollower
from api.vault.vault import Vault
from api.webhooks.parts import Webhooks, assemble_webhooks
from models.database import Database
from models.rows import database_time

if TYPE_CHECKING:
    from api.organization.identity import Identity


@dataclass(frozen=True, slots=True)
class Patchbay:
    settings: Settings
    clock: Clock
    database: Database
    vault: Vault
    catalog: Catalog
    access: Access
    people: People
    folders: Folders
    groups: Groups
    # None where the operator named no identity provider.
    identity: "Identity | None"
    directory: Directory
    oauth_apps: OAuthApps
    app_upkeep: AppUpkeep
    app_warnings: AppWarnings
    incidents: Incidents
    audit: Audit
    audit_log: AuditLog
    connecting: Connecting
    connections: Connections
    issuing: Issuing
    moving: Moving
    importing: Importing
    trying: Trying
    reading: Reading
    proxying: Proxying
    offers: Offers
    own_connectors: OwnConnectors
    organization_permissions: OrganizationPermissions
    building: Building
    migrating: Migrating
    installed: InstalledConnectors
    policies: Policies
    policy_effects: PolicyEffects
    feed: EventFeed
    refresher: Refresher
    refresh_loop: RefreshLoop
    replicas: Replicas
    webhooks: Webhooks


def assemble(
    settings: Settings,
    clock: Clock,
    steady: Steady,
    chance: random.Random,
    database: Database,
    vault: Vault,
    catalog: Catalog,
    http: OutboundClient,
    streaming: StreamingClient,
    courier: Courier | None,
) -> Patchbay:
    """All parts, given to each other. Nothing of it runs yet."""
    access, wakeup, audit = Access(), Wakeup(), Audit(clock)
    own_connectors = OwnConnectors(catalog, database)
    audit_log = AuditLog(clock, settings.audit_retention)
    log = EventLog(clock, wakeup)
    folders = Folders(access, clock, audit=audit)
    addresses = Addresses(settings.public_url, settings.return_origins)
    apps = OAuthApps(access, catalog, vault, clock, audit=audit)
    prover = Prover(http, clock)
    oauth = OAuthClient(http, clock)
    exchange = Exchange(oauth=oauth, http=http, prover=prover, addresses=addresses)
    check = AppCheck(oauth=oauth, catalog=catalog, addresses=addresses)
    sparing = Sparing(steady)
    app_warnings = AppWarnings(audit, clock)
    incidents = Incidents(log=log, audit=audit, check=check, clock=clock, chance=chance)
    installed = InstalledConnectors(catalog=catalog, base=settings.installed_connectors, access=access, audit=audit, clock=clock)
    rulings = Rulings(catalog)
    suspensions = Suspensions(catalog=catalog, log=log, clock=clock)
    wishes = Wishes(access=access, catalog=catalog, vault=vault, apps=apps, installed=installed, rulings=rulings, addresses=addresses)
    keeper = Keeper(vault=vault, log=log, apps=apps, clock=clock, chance=chance)
    holder = f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}"
    # SQLite has one server process, and so one clock; a clock that is passed in is nobody else's.
    time_of_all = database_time if database.dialect == "postgresql" and clock is utc_now else None
    replicas = Replicas(vault, RingFollower(vault, lambda: master_keys(settings)), clock, id=holder, time_of_all=time_of_all)
    replicas.courier_id = None if courier is None else courier.id
    journal = Journal(vault, http, courier, replicas, clock)
    pacing = Pacing(steady=steady, chance=chance, limits=Limits(settings.provider_rate, settings.provider_concurrency))
    watch = ClockWatch(clock, steady)
    providers = Providers(catalog)
    subjects = Subjects(catalog=catalog, providers=providers, vault=vault, apps=apps)
    outcomes = Outcomes(vault=vault, log=log, journal=journal, clock=clock, chance=chance)
    renewals = Renewals(
        subjects=subjects,
        vault=vault,
        exchange=exchange,
        apps=apps,
        incidents=incidents,
        journal=journal,
        outcomes=outcomes,
        pacing=pacing,
    )
    refresher = Refresher(
        subjects=subjects,
        renewals=renewals,
        vault=vault,
        prover=prover,
        journal=journal,
        outcomes=outcomes,
        pacing=pacing,
        admission=Admission(providers=providers, pacing=pacing, watch=watch, chance=chance),
        clock=clock,
        holder=holder,
    )
    reading = Reading(access)
    issuing = Issuing(
        access=access,
        catalog=catalog,
        subjects=subjects,
        refresher=refresher,
        reading=reading,
        rulings=rulings,
        audit=audit,
        clock=clock,
    )
    return Patchbay(
        settings=settings,
        clock=clock,
        database=database,
        vault=vault,
        catalog=catalog,
        access=access,
        people=People(access=access, log=log, audit=audit, clock=clock),
        folders=folders,
        identity=_identity(settings, http, access=access, suspensions=suspensions, log=log, audit=audit, clock=clock),
        groups=Groups(access=access, suspensions=suspensions, audit=audit, clock=clock),
        directory=Directory(access, folders),
        oauth_apps=apps,
        app_warnings=app_warnings,
        incidents=incidents,
        app_upkeep=AppUpkeep(
            access=access, apps=apps, catalog=catalog, check=check, incidents=incidents, log=log, audit=audit, clock=clock
        ),
        audit=audit,
        audit_log=audit_log,
        connecting=Connecting(
            access=access,
            vault=vault,
            wishes=wishes,
            exchange=exchange,
            keeper=keeper,
            installed=installed,
            rulings=rulings,
            incidents=incidents,
            log=log,
            wakeup=wakeup,
            addresses=addresses,
            audit=audit,
            clock=clock,
        ),
        connections=Connections(
            access=access,
            log=log,
            refresher=refresher,
            apps=apps,
            rulings=rulings,
            suspensions=suspensions,
            audit=audit,
            clock=clock,
        ),
        issuing=issuing,
        moving=Moving(access=access, vault=vault, log=log, apps=apps, suspensions=suspensions, audit=audit, clock=clock),
        reading=reading,
        proxying=Proxying(
            access=access,
            issuing=issuing,
            subjects=subjects,
            refresher=refresher,
            client=streaming,
            limits=CallLimits(settings.proxy_rate, settings.proxy_concurrency, steady),
            audit=audit,
        ),
        importing=Importing(access=access, http=http, audit=audit, sparing=sparing),
        trying=Trying(
            access=access,
            guard=http.guard,
            server=ServerTrial(http=http, oauth=oauth, check=check, addresses=addresses),
            exchange=exchange,
            prover=prover,
            audit=audit,
            sparing=sparing,
        ),
        offers=Offers(catalog=catalog, installed=installed, rulings=rulings, addresses=addresses),
        own_connectors=own_connectors,
        organization_permissions=OrganizationPermissions(access=access, audit=audit),
        building=Building(
            access=access,
            catalog=catalog,
            own=own_connectors,
            guard=http.guard,
            suspensions=suspensions,
            refresher=refresher,
            log=log,
            audit=audit,
            clock=clock,
        ),
        migrating=Migrating(access=access, catalog=catalog, own=own_connectors, guard=http.guard, audit=audit, clock=clock),
        installed=installed,
        policies=Policies(access=access, catalog=catalog, apps=apps, suspensions=suspensions, log=log, audit=audit, clock=clock),
        policy_effects=PolicyEffects(access=access, catalog=catalog, clock=clock),
        feed=EventFeed(access, database, wakeup, clock),
        refresher=refresher,
        refresh_loop=RefreshLoop(
            refresher,
            vault,
            audit_log,
            incidents,
            app_warnings,
            watch,
            replicas,
            schedule=settings.refresh_schedule,
            concurrency=settings.refresh_concurrency,
            clock=clock,
        ),
        replicas=replicas,
        webhooks=assemble_webhooks(
            access, vault, http, replicas, database=database, wakeup=wakeup, log=log, audit=audit, clock=clock, chance=chance
        ),
    )


def _identity(
    settings: Settings, http: OutboundClient, *, access: Access, suspensions: Suspensions, log: EventLog, audit: Audit, clock: Clock
) -> "Identity | None":
    if settings.oidc_issuer is None or settings.oidc_client_id is None:
        return None
    # What reads signatures takes 40 ms and 4 MB, for installations that have an identity provider.
    from api.oauth.openid import OpenIdClient, OpenIdProvider
    from api.oauth.tokens import ClientCredentials
    from api.organization.identity import Identity, IdentityRules

    provider = OpenIdProvider(
        issuer=settings.oidc_issuer,
        client=ClientCredentials(settings.oidc_client_id, settings.oidc_client_secret),
        audience=settings.oidc_audience or settings.oidc_client_id,
        redirect_uri=f"{settings.public_url}/sign-in/callback",
        signed_out_uri=f"{settings.public_url}/sign-in",
    )
    return Identity(
        openid=OpenIdClient(provider, http, clock),
        rules=IdentityRules(settings.oidc_groups_claim, settings.oidc_administrator_group),
        access=access,
        suspensions=suspensions,
        log=log,
        audit=audit,
        clock=clock,
    )
