"""What concerns one member's mailbox and nothing else: reading, acknowledging, its webhook."""

from collections.abc import Sequence

from gateway.forgetting import remember
from gateway.mailbox import Mailboxes
from gateway.port import Conflict, Stored, Webhook
from gateway.sql import Pool
from gateway.webhooks import Webhooks
from protocols.iso20022.lexical import bic11


class Correspondence:
    """That part of `port.Gateway`."""

    def __init__(self, pool: Pool, mailboxes: Mailboxes, webhooks: Webhooks) -> None:
        self._pool = pool
        self._mailboxes = mailboxes
        self._webhooks = webhooks

    async def read(self, member: str, *, after: int, limit: int) -> Sequence[Stored]:
        return await self._mailboxes.read(bic11(member), after, limit)

    async def arrived(self, member: str) -> None:
        await self._mailboxes.arrived(bic11(member))

    async def acknowledge(self, member: str, through: int) -> int | None:
        return await self._mailboxes.acknowledge(bic11(member), through)

    async def put_webhook(self, member: str, url: str, secret: str) -> str | None:
        if (fault := self._webhooks.fault(url)) is not None:
            return fault
        await self._webhooks.put(bic11(member), url, secret)
        return None

    async def webhook(self, member: str) -> Webhook | None:
        return await self._webhooks.show(bic11(member))

    async def drop_webhook(self, member: str) -> bool:
        return await self._webhooks.drop(bic11(member))

    async def remember(
        self, member: str, key: str, digest: bytes, status: int, answer: str
    ) -> tuple[int, str] | Conflict:
        return await remember(self._pool, bic11(member), key, digest, status, answer)
