"""What webhooks are made of, put together."""

import random
from dataclasses import dataclass

from api.access import Access
from api.audit import Audit
from api.clock import Clock
from api.events.log import EventLog
from api.events.order import EventOrder
from api.events.wakeup import Wakeup
from api.outbound.http import OutboundClient
from api.replicas import Replicas
from api.vault.vault import Vault
from api.webhooks.dispatcher import WebhookDispatcher
from api.webhooks.managing import Managing
from api.webhooks.outbox import Outbox
from api.webhooks.outcomes import WebhookOutcomes
from api.webhooks.reading import WebhookReading
from api.webhooks.replaying import Replaying
from api.webhooks.secrets import WebhookSecrets
from api.webhooks.sending import WebhookSender
from models.database import Database


@dataclass(frozen=True, slots=True)
class Webhooks:
    managing: Managing
    reading: WebhookReading
    replaying: Replaying
    dispatcher: WebhookDispatcher


def assemble_webhooks(
    access: Access,
    vault: Vault,
    http: OutboundClient,
    replicas: Replicas,
    *,
    database: Database,
    wakeup: Wakeup,
    log: EventLog,
    audit: Audit,
    clock: Clock,
    chance: random.Random,
) -> Webhooks:
    order, secrets, outcomes = EventOrder(database), WebhookSecrets(vault, clock), WebhookOutcomes(audit, clock, chance)
    outbox, sender = Outbox(order, vault, clock), WebhookSender(http, secrets, clock)
    return Webhooks(
        managing=Managing(access, secrets, sender, http.guard, order, log=log, audit=audit, clock=clock),
        reading=WebhookReading(access),
        replaying=Replaying(access, outbox, order, log=log, audit=audit, clock=clock),
        dispatcher=WebhookDispatcher(outbox, sender, outcomes, replicas, database=database, wakeup=wakeup, clock=clock),
    )
