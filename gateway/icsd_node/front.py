"""The side of a registry's node that its members' systems see, put together: messages, mailboxes,
webhooks and statements, in a pool of connections of their own, so that readers do not hold up the
book."""

from collections.abc import Callable, Coroutine
from typing import Final

import msgspec
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.http import mailbox
from gateway.http.exchange import MessageDesk
from gateway.icsd_node import messages
from gateway.icsd_node.message_room import MessageRoom
from gateway.icsd_node.message_store import MessageStore
from gateway.icsd_node.settings import Correspondents, MessageSettings
from gateway.icsd_node.statements import NodeStatements
from gateway.mailbox import Mailboxes
from gateway.sql import Pool
from gateway.telemetry.logs import Say, say_as
from gateway.webhooks import Webhooks
from ledgers.icsd.hosted import RegistryLedger

REPLICA: Final = 1
"""Claims on webhooks are between replicas, and a node has none: a second process on its database
ends the first."""


class Front(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the members' systems deal with."""

    room: MessageRoom
    statements: NodeStatements
    webhooks: Webhooks
    store: MessageStore
    known: Correspondents
    desk: MessageDesk
    say: Say

    async def begin(self) -> None:
        """Before anything is served."""
        await self.store.begin(sorted(self.known.members.values()))

    def add(self, app: web.Application) -> None:
        """Serve it."""
        messages.add(app, self.desk, self.known.members)

    def work(self) -> list[Coroutine[None, None, None]]:
        """What is to run as long as the node lives."""
        return [
            self.room.run(self.say),
            self.webhooks.run(mailbox.writer(self.desk)),
            self.statements.run(),
        ]


def front_of(
    ledger: RegistryLedger,
    pool: Pool,
    key: Ed25519PrivateKey,
    settings: MessageSettings,
    known: Correspondents,
    now: Callable[[], int],
) -> Front:
    """`key` is the registry's own: what seals its members' webhook secrets is derived from it."""
    say, mailboxes = say_as("messages"), Mailboxes(pool)
    bic = known.depositories[ledger.node.me]
    webhooks = Webhooks(
        pool,
        mailboxes,
        settings.webhooks,
        master=key.private_bytes_raw(),
        replica=REPLICA,
        say=say,
    )
    store, members = MessageStore(pool), known.principals
    room = MessageRoom(ledger, store, mailboxes, webhooks, members, known.depositories, now)
    statements = NodeStatements(
        ledger, pool, members, bic, settings, now=now, delivered=mailboxes.delivered, say=say
    )
    return Front(
        room=room,
        statements=statements,
        webhooks=webhooks,
        store=store,
        known=known,
        desk=messages.desk_of(room, statements, bic, now, say),
        say=say,
    )
