"""Where a registry's members leave messages and find the answers: intake and the work behind it.

A message is durable, with the operation that it stands for, before it is received (202). The
operation is an entry of the network under an id that the message makes (`orders.operation_id`), so
it is asked for again after any failure until its outcome is known, and is done once. The answer and
the note that it was given are one transaction.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from gateway.http.heads import message_id, related_to
from gateway.icsd_node import answers, orders
from gateway.icsd_node.message_store import Message, MessageStore, Reply, Waiting
from gateway.icsd_node.orders import Network, Order
from gateway.icsd_node.postings import Asked, Postings
from gateway.mailbox import Mailboxes
from gateway.port import Busy, Stored, Taken, Webhook
from gateway.telemetry.logs import Say
from gateway.webhooks import Webhooks
from htlc.units import HtlcId
from ledgers.icsd.entry import ENTRIES_MAX, Entry
from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.hosted import RegistryLedger
from ledgers.parties import Principal
from ledgers.port import Answer, LedgerUnreachable, Lock, Refund, Refusal, Transfer
from ledgers.reading import LOST, is_our_own_error
from protocols.iso20022 import envelope, json_form, semt013_read, sese023
from protocols.iso20022.advice import Outbound, Receipt
from protocols.iso20022.envelope import Enveloped
from protocols.iso20022.errors import ProtocolError, RejectCode
from protocols.iso20022.inbound import family
from protocols.iso20022.lexical import bic11
from protocols.iso20022.rules import BusinessRefusal

ACCEPTED: Final = frozenset(
    {"semt.013.001.06", *(each for each in envelope.ACCEPTED if family(each) == "sese.023")}
)
"""What a registry agrees to be sent."""

AGAIN_SECONDS: Final = 1.0
"""Before what did not become final is asked for again; by then a log has a new leader, or not."""


class MessageRoom:
    """A registry's `gateway.port.Messaging`; `members` by their BIC of eleven characters."""

    def __init__(
        self,
        ledger: RegistryLedger,
        store: MessageStore,
        mailboxes: Mailboxes,
        webhooks: Webhooks,
        members: Mapping[str, Principal],
        depositories: Mapping[RegistryId, str],
        now: Callable[[], int],
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._mailboxes = mailboxes
        self._webhooks = webhooks
        self._members = members
        self._depositories = depositories
        self._now = now
        self._came = asyncio.Event()
        self.verdicts: Counter[tuple[str, str, str]] = Counter()  # definition, verdict, code
        #: Whether the oldest may have been done without our having learned it.
        self._doubtful = True

    # --- gateway.port.Messaging ------------------------------------------------------------------

    async def take_messages(
        self, member: str, items: Sequence[Enveloped | ProtocolError]
    ) -> Sequence[Taken | ProtocolError | Busy]:
        """One after the other: what comes first is ordered first."""
        return [await self._counted(self._members[bic11(member)], item) for item in items]

    async def read(self, member: str, *, after: int, limit: int) -> Sequence[Stored]:
        return await self._mailboxes.read(bic11(member), after, limit)

    async def acknowledge(self, member: str, through: int) -> int | None:
        return await self._mailboxes.acknowledge(bic11(member), through)

    async def arrived(self, member: str) -> None:
        await self._mailboxes.arrived(bic11(member))

    async def put_webhook(self, member: str, url: str, secret: str) -> str | None:
        fault = self._webhooks.fault(url)
        if fault is None:
            await self._webhooks.put(bic11(member), url, secret)
        return fault

    async def webhook(self, member: str) -> Webhook | None:
        return await self._webhooks.show(bic11(member))

    async def drop_webhook(self, member: str) -> bool:
        return await self._webhooks.drop(bic11(member))

    # --- intake ----------------------------------------------------------------------------------

    async def _counted(
        self, by: Principal, item: Enveloped | ProtocolError
    ) -> Taken | ProtocolError | Busy:
        outcome = await self._taken(by, item)
        if isinstance(outcome, ProtocolError):
            definition = "other" if isinstance(item, ProtocolError) else item.definition
            if definition not in ACCEPTED:  # anybody can invent others
                definition = "other"
            self.verdicts[definition, "rejected", outcome.code.value] += 1
        return outcome

    async def _taken(
        self, by: Principal, item: Enveloped | ProtocolError
    ) -> Taken | ProtocolError | Busy:
        if isinstance(item, ProtocolError):
            return item
        try:
            return await self._known(by, item) or await self._new(by, item)
        except ProtocolError as error:
            return error.about(item.header.business_message_id)
        except (LedgerUnreachable, *LOST) as error:
            require_away(error)
            return Busy()

    async def _known(self, by: Principal, item: Enveloped) -> Taken | None:
        """The first answer again. Raises ProtocolError XDUP for other content."""
        known = await self._store.known(by.name, item.header.business_message_id)
        if known is None:
            return None
        if known.digest != item.digest:
            raise ProtocolError(
                RejectCode.XDUP,
                "this BizMsgIdr came before with other content; give a new message a new one",
                location="/AppHdr/BizMsgIdr",
            )
        taken = _received(item, known.id, known.received_at)
        return msgspec.structs.replace(taken, is_repeated=True)

    async def _new(self, by: Principal, item: Enveloped) -> Taken:
        envelope.validate(item, ACCEPTED)
        self._ledger.node.require_service()
        head, order = item.header, decoded(item)
        id = orders.operation_id(by.name, head.business_message_id)
        found = orders.judged(order, by, id, self._network())
        now, told = self._now(), None
        if isinstance(found, BusinessRefusal):
            content = answers.refused(order, message_id(id), found.code, _said(found))
            told = Reply(
                member=bic11(head.sender), related=related_to(head), at=now, content=content
            )
        message = Message(
            member=by.name,
            message=head.business_message_id,
            id=id,
            definition=item.definition,
            digest=item.digest,
            received_at=now,
            raw=item.raw,
            entry=None if isinstance(found, BusinessRefusal) else Entry(by=by, operation=found),
        )
        if await self._store.keep(message, told):
            code = found.code.value if isinstance(found, BusinessRefusal) else ""
            self.verdicts[item.definition, "refused" if code else "accepted", code] += 1
            self._came.set()
            if told is not None:
                self._mailboxes.delivered([told.member])
            return _received(item, id, now)
        known = await self._known(by, item)
        assert known is not None, "it came at the same time"
        return known

    def _network(self) -> Network:
        node = self._ledger.node
        return Network(
            view=node.replica.view, me=node.me, at=node.at, depositories=self._depositories
        )

    # --- the work --------------------------------------------------------------------------------

    async def run(self, say: Say) -> None:
        """Have done what was received, for as long as the node lives."""
        why = ""
        while True:
            self._came.clear()
            try:
                worked = await self._work()
            except (LedgerUnreachable, *LOST) as error:
                require_away(error)
                if str(error) != why:  # once, not every second that it lasts
                    say(f"messages wait: {error}")
                worked, self._doubtful, why = False, True, str(error)
            if not worked:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(AGAIN_SECONDS):
                        await self._came.wait()

    async def _work(self) -> bool:
        """The oldest, as many as one bundle holds. Whether there were any that got an answer.
        Raises LedgerUnreachable, and what the database raises."""
        waiting = await self._store.waiting(ENTRIES_MAX)
        if not waiting:
            return False
        results = await self._ledger.node.ask([each.entry for each in waiting])
        replies, postings = [], Postings(self._ledger)
        for each, answer in zip(waiting, results, strict=True):
            assert isinstance(answer, Answer), "an operation is told an answer"
            if answer.refusal is not Refusal.OVERLOADED:
                replies.append((each, await self._reply(each, answer, postings)))
        await self._store.answer(replies)
        self._mailboxes.delivered(reply.member for _, reply in replies)
        self._doubtful = False
        return bool(replies)

    async def _reply(self, waiting: Waiting, answer: Answer, postings: Postings) -> Reply:
        item = reread(waiting.raw)
        return Reply(
            member=bic11(item.header.sender),  # it was its own when it sent this
            related=related_to(item.header),
            at=self._now(),
            content=await self._told(waiting, decoded(item), answer, postings),
        )

    async def _told(
        self, waiting: Waiting, order: Order, answer: Answer, postings: Postings
    ) -> Outbound:
        reference = message_id(waiting.id)
        if answer.refusal is not None:
            return answers.refused_by_network(order, reference, answer.refusal)
        asked = waiting.entry.operation
        assert isinstance(asked, Lock | Refund | Transfer), "what `orders.judged` makes"
        done = await postings.done(asked, answer, waiting.received_at, doubtful=self._doubtful)
        return answers.done(order, reference, done, _contract(asked), self._ledger.seal.ledger)


def require_away(error: Exception) -> None:
    """Waiting mends a database or a network that is away, but no error of our own."""
    if not isinstance(error, LedgerUnreachable) and is_our_own_error(error):
        raise error


def decoded(item: Enveloped) -> Order:
    """What a validated message asks for."""
    if family(item.definition) == "semt.013":
        return semt013_read.decode(item)
    return sese023.decode(item)


def reread(raw: bytes) -> Enveloped:
    """A message as it was received, in either form."""
    is_json = raw.lstrip().startswith(b"{")
    (item,) = json_form.split(raw, ACCEPTED) if is_json else envelope.split(raw)
    assert isinstance(item, Enveloped), "it was received"
    return item


def _received(item: Enveloped, id: str, at: int) -> Taken:
    head = item.header
    receipt = Receipt(
        message_id=message_id(id),
        received_at=at,
        reference=head.business_message_id,
        definition=head.definition,
        sender=head.sender,
    )
    return Taken(id=id, receipt=receipt)


def _said(refusal: BusinessRefusal) -> str:
    return f"{refusal.rule} ({refusal.field})"


def _contract(asked: Asked) -> HtlcId:
    return asked.terms.id if isinstance(asked, Lock) else HtlcId(asked.id)
