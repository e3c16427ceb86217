"""A gateway in memory that keeps every promise of `gateway.port`, for tests of the interface."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Sequence
from datetime import date

import msgspec

from gateway.ids import new_id
from gateway.port import (
    Busy,
    Conflict,
    Denied,
    Difference,
    LedgerState,
    Principal,
    Received,
    Reconciled,
    Refused,
    Resolution,
    StatementMade,
    StatementWanted,
    Stored,
    Summary,
    Taken,
    View,
    Webhook,
)
from htlc import swap as swaps
from htlc.agreement import LedgerProfile, Limits, Pair, Role, draw_up
from htlc.coordinator import evolve, propose
from htlc.events import CancelRequested, Consented, Decision, Opened, Proposed
from htlc.hashlock import HashFunction, Hashlock
from htlc.schedule import Latency
from htlc.settlement import Settlement
from htlc.swap import Swap
from htlc.units import AssetId, Instant, LedgerId, MemberId, SettlementId, seconds
from ledgers.port import AssetDescription, Description, LockKind
from protocols.iso20022 import envelope
from protocols.iso20022.advice import Outbound, Receipt
from protocols.iso20022.envelope import Enveloped
from protocols.iso20022.errors import ProtocolError, RejectCode
from protocols.iso20022.header import Related
from protocols.iso20022.lexical import bic11
from protocols.iso20022.render import definition

SELLER, BUYER, STRANGER = "SELADEF0XXX", "BUYRFRP0XXX", "OTHRUS30XXX"
GATEWAY = "DVPGNL20XXX"
ISIN = "XS9990000010"
NOW = 1_791_277_200_000_000_000  # 2026-10-06T09:00:00Z
SCALES = {("registry", ISIN): 0, ("eur", "EUR"): 2, ("silent", "JPY"): None}

_LATENCY = Latency(finality=seconds(0), lookup=seconds(1), delivery=seconds(5), skew=seconds(1))
_LIMITS = Limits(lock_within=seconds(20), commit_within=seconds(60), recovery=seconds(600))
_FUNCTION = HashFunction()


def _lock(pair: Pair, role: Role, function: HashFunction) -> Hashlock:
    return function.lock(f"{pair}{role}".encode().ljust(32, b"."))


def _profile() -> LedgerProfile:
    return LedgerProfile(
        two_key=True, htlc=True, functions=(_FUNCTION,), latency=_LATENCY, now=Instant(NOW)
    )


class FakeGateway:
    """Implements `gateway.http.exchange.Services`. Set `busy` or `broken` to see it fail."""

    def __init__(self) -> None:
        self.busy = False
        self.broken: Exception | None = None
        self.digests: dict[tuple[str, str], tuple[bytes, Taken]] = {}
        self.settlements: dict[str, tuple[bytes, View]] = {}
        self.boxes: defaultdict[str, list[Stored]] = defaultdict(list)
        self.acknowledged: dict[str, int] = {}
        self.kept: dict[tuple[str, str], tuple[bytes, int, str]] = {}
        self.cancelled: list[tuple[str, str]] = []
        self.released: list[tuple[str, str]] = []
        self.takes = 0
        self.hooks: dict[str, Webhook] = {}
        self._arrivals: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._moments = itertools.count(NOW, 1_000_000)

    # messages

    async def take_messages(
        self, member: str, items: Sequence[Enveloped | ProtocolError]
    ) -> Sequence[Taken | ProtocolError | Busy]:
        self._check()
        self.takes += 1
        return [self._message(member, item) for item in items]

    def _message(
        self, member: str, item: Enveloped | ProtocolError
    ) -> Taken | ProtocolError | Busy:
        if isinstance(item, ProtocolError):
            return item
        if self.busy:
            return Busy()
        head = item.header
        known = self.digests.get((member, head.business_message_id))
        if known is not None:
            if known[0] != item.digest:
                return _duplicate(head.business_message_id)
            return msgspec.structs.replace(known[1], is_repeated=True)
        try:
            envelope.validate(item)
        except ProtocolError as error:
            return error
        id = new_id()
        receipt = Receipt(
            message_id=id.replace("-", ""),
            received_at=next(self._moments),
            reference=head.business_message_id,
            definition=head.definition,
            sender=head.sender,
        )
        taken = Taken(id=id, receipt=receipt)
        self.digests[member, head.business_message_id] = (item.digest, taken)
        return taken

    # settlements

    async def take_settlements(
        self, member: str, proposed: Sequence[tuple[Swap, bytes]]
    ) -> Sequence[View | Refused | Conflict | Busy]:
        self._check()
        self.takes += 1
        return [self._settlement(member, swap, digest) for swap, digest in proposed]

    def _settlement(
        self, member: str, swap: Swap, digest: bytes
    ) -> View | Refused | Conflict | Busy:
        if self.busy:
            return Busy()
        if faults := swaps.check(swap, legs_max=4):
            return Refused(faults=faults)
        known = self.settlements.get(swap.id)
        if known is None:
            state = propose(Proposed(swap=swap, consents=(MemberId(member),)))
            view = View(id=swap.id, created_at=next(self._moments), state=state)
        elif known[0] != digest:
            return Conflict(what=f"settlement {swap.id} is known with other terms")
        else:
            state = evolve(known[1].state, Consented(member=MemberId(member)))
            view = msgspec.structs.replace(known[1], state=state)
        view = msgspec.structs.replace(view, state=_opened(view.state))
        self.settlements[swap.id] = (digest, view)
        return view

    async def show(self, principal: Principal, id: SettlementId) -> View | None:
        self._check()
        found = self.settlements.get(id)
        if found is None:
            return None
        member = MemberId(bic11(principal.name))
        if principal.role == "member" and member not in found[1].state.swap.parties:
            return None
        return found[1]

    async def list(
        self, principal: Principal, *, before: SettlementId | None, limit: int
    ) -> Sequence[Summary]:
        self._check()
        views = [await self.show(principal, SettlementId(id)) for id in self.settlements]
        lines = sorted(
            (
                Summary(id=v.id, created_at=v.created_at, state=v.state.phase)
                for v in views
                if v is not None and (before is None or v.id < before)
            ),
            key=lambda line: line.id,
            reverse=True,
        )
        return lines[:limit]

    async def accept(self, principal: Principal, id: SettlementId) -> View | Denied | None:
        view = await self.show(principal, id)
        if view is None:
            return None
        if MemberId(principal.name) not in view.state.swap.payers:
            return Denied(code="DPRG", why="only a payer's consent is asked for")
        state = _opened(evolve(view.state, Consented(member=MemberId(principal.name))))
        return self._keep(view, state)

    async def release(
        self, principal: Principal, id: SettlementId, leg: str, preimage: bytes
    ) -> View | Denied | Refused | None:
        view = await self.show(principal, id)
        if view is None or principal.role != "member":
            return None
        if preimage == bytes(32):
            return Refused(faults=(swaps.Fault(field="preimage", rule="opens nothing"),))
        self.released.append((principal.name, leg))
        return view

    async def cancel(
        self, principal: Principal, id: SettlementId, reason: str
    ) -> View | Denied | None:
        view = await self.show(principal, id)
        if view is None:
            return None
        if view.state.agreement is not None and principal.role == "member":
            return Denied(code="DPRG", why="settlement is in process and cannot be stopped")
        self.cancelled.append((principal.name, reason))
        return self._keep(
            view, evolve(view.state, CancelRequested(by=MemberId(principal.name), why=reason))
        )

    def _keep(self, view: View, state: Settlement) -> View:
        new = msgspec.structs.replace(view, state=state)
        self.settlements[view.id] = (self.settlements[view.id][0], new)
        return new

    # mailboxes

    def put(
        self, member: str, content: Outbound | dict[str, object], related: Related | None = None
    ) -> Stored:
        """Deliver something into a mailbox."""
        box = self.boxes[member]
        notice = isinstance(content, dict)
        stored = Stored(
            sequence=len(box) + 1,
            id=new_id(),
            definition="lockstep.settlement.1" if notice else definition(content),
            related=None if related is None else msgspec.json.encode(related).decode(),
            created_at=next(self._moments),
            settlement=None,
            content=msgspec.json.encode(content).decode(),
        )
        box.append(stored)
        self._arrivals.pop(member, asyncio.Event()).set()
        return stored

    async def resolve(
        self, principal: Principal, id: SettlementId, decision: Decision, evidence: str
    ) -> View | Denied | None:
        view = await self.show(principal, id)
        if view is None:
            return None
        if view.state.agreement is None:
            return Denied(code="DPRG", why="it is not frozen")
        said = Resolution(
            operator=principal.name, decision=decision, evidence=evidence, said_at=NOW
        )
        digest, kept = self.settlements[id]
        kept = msgspec.structs.replace(kept, resolutions=(*kept.resolutions, said))
        self.settlements[id] = (digest, kept)
        return kept

    async def conversation(
        self, member: str, id: SettlementId
    ) -> Sequence[Received | Stored] | None:
        self._check()
        view = await self.show(Principal(name=member, role="member"), id)
        return None if view is None else [s for s in self.boxes[member] if s.settlement == id]

    async def read(self, member: str, *, after: int, limit: int) -> Sequence[Stored]:
        self._check()
        return [stored for stored in self.boxes[member] if stored.sequence > after][:limit]

    async def arrived(self, member: str) -> None:
        await self._arrivals[member].wait()

    async def acknowledge(self, member: str, through: int) -> int | None:
        self._check()
        if through > len(self.boxes[member]):
            return None
        self.acknowledged[member] = max(through, self.acknowledged.get(member, 0))
        return self.acknowledged[member]

    async def remember(
        self, member: str, key: str, digest: bytes, status: int, answer: str
    ) -> tuple[int, str] | Conflict | None:
        self._check()
        known = self.kept.get((member, key))
        if known is not None and known[0] != digest:
            return Conflict(what=f"Idempotency-Key {key} came with another request before")
        if known is None or known[1] == 0:
            self.kept[member, key] = (digest, status, answer)
        return self.kept[member, key][1:]

    # webhooks

    async def put_webhook(self, member: str, url: str, secret: str) -> str | None:
        self._check()
        if not url.startswith("https://"):
            return "is an absolute https URL"
        self.hooks[member] = Webhook(url=url, set_at=NOW)
        return None

    async def webhook(self, member: str) -> Webhook | None:
        self._check()
        return self.hooks.get(member)

    async def drop_webhook(self, member: str) -> bool:
        return self.hooks.pop(member, None) is not None

    # ledgers

    def ledgers(self) -> Sequence[LedgerState]:
        return [
            LedgerState(
                name=name,
                kind="securities" if name == "registry" else "currency",
                description=_description(name, asset, scale) if scale is not None else None,
                clock_at=NOW if scale is not None else None,
                reachable=scale is not None,
            )
            for (name, asset), scale in SCALES.items()
        ]

    def scale(self, ledger: str, asset: str) -> int | None:
        return SCALES.get((ledger, asset))

    def _check(self) -> None:
        if self.broken is not None:
            raise self.broken


def _duplicate(reference: str) -> ProtocolError:
    return ProtocolError(
        RejectCode.XDUP, "known with other content", location="/AppHdr", reference=reference
    )


def _opened(state: Settlement) -> Settlement:
    if state.agreement is not None or not state.consents >= state.swap.payers:
        return state
    ledgers = {leg.ledger: _profile() for leg in state.swap.legs}
    drawn = draw_up(state.swap, ledgers, _LIMITS, _lock)
    assert not isinstance(drawn, tuple), drawn
    return evolve(state, Opened(agreement=drawn))


def _description(name: str, asset: str, scale: int) -> Description:
    return Description(
        ledger=LedgerId(name),
        lock_kinds=(LockKind.TWO_KEY, LockKind.HTLC),
        hash_functions=(_FUNCTION,),
        probe=(),
        at=Instant(NOW),
        finality=seconds(0),
        skew=seconds(1),
        assets=(AssetDescription(asset=AssetId(asset), scale=scale),),
        public_key=bytes(32),
    )


class FakeStatements:
    """Implements `gateway.port.Statements`: the seller has one account, of euros."""

    def __init__(self, fake: FakeGateway) -> None:
        self._fake = fake

    async def state(
        self, member: str, wanted: StatementWanted
    ) -> list[StatementMade] | Refused | Denied | Busy:
        self._fake._check()
        if wanted.account not in (None, "EUR-SELADE"):
            rule = f"{wanted.account} is no account of {member}"
            return Refused(faults=(swaps.Fault(field="account", rule=rule),))
        if wanted.ledger == "silent":
            return Busy()
        if wanted.ledger == "registry":
            return Denied(code="OTHR", why="the ledger's postings do not agree")
        return [
            StatementMade(
                id="0192f3c45d6e7f809a1b2c3d4e5f6071",
                kind="cash",
                ledger="eur",
                account="EUR-SELADE",
                asset="EUR",
                frequency="INDA" if wanted.day is None else "DAIL",
                business_date=wanted.day or date(2026, 10, 6),
                number=1,
                pages=1,
                definition="camt.053.001.08",
            )
        ]


class FakeReconciliation:
    """Implements `gateway.port.Reconciling`: one break of the registry is open."""

    running = False

    def __init__(self, fake: FakeGateway) -> None:
        self._fake = fake
        self.asked: list[tuple[tuple[str, ...], bool]] = []

    async def ask(self, names: Sequence[str], *, afresh: bool) -> bool:
        self._fake._check()
        self.asked.append((tuple(names), afresh))
        return True

    async def reconciled(self, names: Sequence[str]) -> list[Reconciled]:
        self._fake._check()
        return [Reconciled(ledger=name) for name in names]

    async def differences(self, names: Sequence[str], since: int) -> list[Difference]:
        found = Difference(
            number=1,
            ledger="registry",
            asset=ISIN,
            account="",
            kind="issued",
            expected=5,
            found=3,
            what="the accounts do not hold what was issued",
            first_seen_at=NOW - 60 * 10**9,
            last_seen_at=NOW,
        )
        return [found] if "registry" in names else []
