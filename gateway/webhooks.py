"""Webhooks: a member's mailbox, delivered to where it wants it.

Message by message, in order, at least once: the next one goes out when the one before was answered
with 2xx, which acknowledges it. A receiver that does not answer so is tried again with growing
pauses, as long as the webhook stands; nobody else waits for it. The place reached is the mailbox's
own, so that a restart, another replica, or a change of the webhook loses nothing.

One replica at a time delivers to a member: it holds a claim, renewed with each message and longer
than a request may take.
"""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from typing import Final

import aiohttp
import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from yarl import URL

from gateway import addresses, webhook_signature
from gateway.addresses import GuardedResolver, Network
from gateway.config import WebhookSettings
from gateway.journal import LOST, QUERIES
from gateway.mailbox import Mailboxes
from gateway.port import Stored, Webhook
from gateway.sql import Pool, Record

LOOK_SECONDS: Final = 0.5
"""How often it is looked for what is to be delivered: one statement for all members."""

REQUEST_SECONDS: Final = 10.0
"""For a receiver to answer. It is asked to keep the message, not to act on it."""

CLAIM_SECONDS: Final = 30.0
"""Three times a request: whoever has lost its claim has long stopped waiting for an answer."""

PAUSE_FIRST_SECONDS: Final = 1.0
PAUSE_MAX_SECONDS: Final = 300.0
"""Between attempts, doubling: a restart costs seconds, a weekend some 700 requests."""

PAGE: Final = 50
"""Messages read at once: each is delivered before the next, so more would only be held."""

DELIVERING_MAX: Final = 100
"""Members that are delivered to at once: each costs a connection and a page."""

FAULT_LENGTH_MAX: Final = 200

Write = Callable[[str, Stored], bytes]
"""A message of a member's mailbox as it is delivered."""


class Webhooks:
    """Keeps them, and delivers as long as `run` goes on."""

    def __init__(
        self,
        pool: Pool,
        mailboxes: Mailboxes,
        settings: WebhookSettings,
        *,
        master: bytes,
        replica: int,
        say: Callable[[str], None],
    ) -> None:
        self._pool = pool
        self._mailboxes = mailboxes
        self._allow_http = settings.allow_http
        self._allowed: Sequence[Network] = tuple(map(addresses.network, settings.allow_networks))
        self._replica = replica
        self._say = say
        self._seal = AESGCM(
            HKDF(hashes.SHA256(), 32, salt=b"lockstep webhooks 1", info=b"secrets").derive(master)
        )
        self._not_before: dict[str, float] = {}
        self.delivered = 0
        self.failed = 0

    # ------------------------------------------------------------------ settings

    def fault(self, url: str) -> str | None:
        """Why a URL is not taken; None if it is. Its host's address is judged again, and for good,
        at each connection."""
        if " " in url or not url.isprintable():
            return "has no blanks and no control characters"
        try:
            target = URL(url)
            host, port = target.host, target.port
        except ValueError:
            return "is no URL"
        schemes = ("https", "http") if self._allow_http else ("https",)
        if target.scheme not in schemes or not host or not port:
            return f"is an absolute {' or '.join(schemes)} URL"
        if target.user or target.password or target.fragment:
            return "has no user, password or fragment"
        literal = addresses.literal(host)
        if literal is None and host.replace(".", "").isdigit():
            return "names its host, or has an address of four numbers"  # 127.1 is 127.0.0.1 to some
        return None if literal is None else addresses.fault(literal, self._allowed)

    async def put(self, member: str, url: str, secret: str) -> None:
        """Deliver there from now on, what is not acknowledged first."""
        nonce = os.urandom(12)
        sealed = nonce + self._seal.encrypt(nonce, secret.encode(), member.encode())
        await self._pool.execute(QUERIES["put_webhook"], member, url, sealed, time.time_ns())

    async def show(self, member: str) -> Webhook | None:
        row = await self._pool.fetchrow(QUERIES["show_webhook"], member)
        return None if row is None else _webhook(row)

    async def drop(self, member: str) -> bool:
        """Deliver no more; whether there was one."""
        return await self._pool.fetchval(QUERIES["drop_webhook"], member) is not None

    def _opened(self, member: str, sealed: bytes) -> str:
        return self._seal.decrypt(sealed[:12], sealed[12:], member.encode()).decode()

    # ------------------------------------------------------------------ delivery

    async def run(self, write: Write) -> None:
        """Deliver until cancelled."""
        connector = aiohttp.TCPConnector(
            resolver=GuardedResolver(self._allowed), use_dns_cache=False, limit=DELIVERING_MAX
        )
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        busy: dict[str, asyncio.Task[None]] = {}
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            try:
                while True:
                    await self._look(session, write, busy)
                    await asyncio.sleep(LOOK_SECONDS)
            finally:
                for task in busy.values():
                    task.cancel()
                await asyncio.gather(*busy.values(), return_exceptions=True)

    async def _look(
        self, session: aiohttp.ClientSession, write: Write, busy: dict[str, "asyncio.Task[None]"]
    ) -> None:
        """Give each member that is due a task of its own."""
        for member in [member for member, task in busy.items() if task.done()]:
            self._ended(member, busy.pop(member))
        try:
            rows = await self._pool.fetch(QUERIES["due_webhooks"], self._replica)
        except LOST as error:
            self._say(f"webhooks wait for the database: {error!r}")
            return
        for member in (row["member"] for row in rows):
            if self._not_before.get(member, 0.0) > time.monotonic():
                continue
            if member not in busy and len(busy) < DELIVERING_MAX:
                turn = self._turn(session, write, member)
                busy[member] = asyncio.create_task(turn, name=f"webhook of {member}")

    def _ended(self, member: str, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:  # a message of ours cannot be written, or the database is away
            pause = PAUSE_FIRST_SECONDS if isinstance(error, LOST) else PAUSE_MAX_SECONDS
            self._say(f"webhook of {member} waits {pause:g} s: {error!r}")
            self._not_before[member] = time.monotonic() + pause

    async def _turn(self, session: aiohttp.ClientSession, write: Write, member: str) -> None:
        """Deliver to one member until nothing is left, something fails, or the claim is lost."""
        claim = await self._pool.fetchrow(
            QUERIES["claim_webhook"], member, self._replica, CLAIM_SECONDS
        )
        if claim is None:
            return
        failures, after = claim["failures"], claim["acknowledged"]
        try:
            secret = self._opened(member, claim["secret"])
        except InvalidTag:  # another master secret: only the member can mend it
            why = "its secret cannot be read any more: set the webhook again"
            await self._note_failure(member, claim, failures, why, gone=False)
            return
        while stored := await self._mailboxes.read(member, after, PAGE):
            for message in stored:
                body = write(member, message)
                status, fault = await self._send(session, claim["url"], secret, body)
                if fault is not None:
                    await self._note_failure(member, claim, failures, fault, gone=status == 410)
                    return
                self.delivered += 1
                await self._mailboxes.acknowledge(member, message.sequence)
                if not await self._note_success(member, claim):
                    return
                after, failures = message.sequence, 0

    async def _send(
        self, session: aiohttp.ClientSession, url: str, secret: str, body: bytes
    ) -> tuple[int, str | None]:
        """The status of the answer, and what is wrong with it. A redirection is no answer: it would
        name an address that nobody has judged."""
        literal = addresses.literal(URL(url).host or "")
        if literal is not None and (fault := addresses.fault(literal, self._allowed)) is not None:
            return 0, fault  # the resolver is not asked about it, and the configuration may change
        id = msgspec.json.decode(body, type=_Named).id
        headers = webhook_signature.headers(secret, id, int(time.time()), body)
        try:
            async with session.post(
                url,
                data=body,
                headers={"Content-Type": "application/json", "User-Agent": "lockstep"} | headers,
                allow_redirects=False,
            ) as response:
                good = 200 <= response.status < 300
                return response.status, None if good else f"answered {response.status}"
        except TimeoutError:
            return 0, f"no answer within {REQUEST_SECONDS:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return 0, str(error) or type(error).__name__

    async def _note_success(self, member: str, claim: Record) -> bool:
        """Whether the claim holds on."""
        kept = await self._pool.fetchval(
            QUERIES["webhook_delivered"], member, self._replica, claim["set_at"], CLAIM_SECONDS
        )
        return kept is not None

    async def _note_failure(
        self, member: str, claim: Record, failures: int, fault: str, *, gone: bool
    ) -> None:
        """One more, after so many in a row."""
        self.failed += 1
        pause = min(PAUSE_FIRST_SECONDS * 2.0 ** min(failures, 30), PAUSE_MAX_SECONDS)
        await self._pool.execute(
            QUERIES["webhook_failed"],
            member,
            self._replica,
            claim["set_at"],
            fault[:FAULT_LENGTH_MAX],
            pause,
            gone,
        )


class _Named(msgspec.Struct, frozen=True):
    """The id of what is delivered."""

    id: str


def _webhook(row: Record) -> Webhook:
    waits = row["failures"] > 0 and not row["gone"]
    return Webhook(
        url=row["url"],
        set_at=row["set_at"],
        failures=row["failures"],
        fault=row["fault"],
        gone=row["gone"],
        next_at=int(row["next_at"] * 1_000_000_000) if waits else None,
    )
