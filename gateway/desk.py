"""The gateway's services (`port.Gateway`): what any interface can ask, and who may ask it.

Nothing here decides about a settlement: requests are checked, queued for intake or written into the
journal by the runner, and answered from what is durable.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec

from gateway.agreements import Heard
from gateway.connections import Connections
from gateway.correspondence import Correspondence
from gateway.directory import Directory, now_ns
from gateway.ids import new_id
from gateway.inbound import Arrival, verdict
from gateway.intake import Intake
from gateway.jobs import MessageJob, Proposal, SwapJob
from gateway.journal import QUERIES, Journal, Loaded
from gateway.keys import Keys
from gateway.live import Live, may_cancel, may_consent
from gateway.mailbox import Mailboxes
from gateway.patience import Patience
from gateway.port import (
    Busy,
    Conflict,
    Denied,
    LedgerState,
    Principal,
    Received,
    Refused,
    Stored,
    Summary,
    Taken,
    View,
)
from gateway.releases import Releases
from gateway.resolutions import Resolutions, is_done, may_resolve
from gateway.rulebook import Rulebook
from gateway.runner import Runner
from gateway.sql import Pool
from gateway.webhooks import Webhooks
from htlc import swap as swaps
from htlc.events import CancelRequested, Consented, Decision, Event
from htlc.settlement import PROPOSED, Settlement
from htlc.swap import Fault, Swap
from htlc.units import LedgerId, LegId, MemberId, SettlementId
from ledgers import trace
from protocols.iso20022 import envelope, inbound
from protocols.iso20022.envelope import Enveloped
from protocols.iso20022.errors import ProtocolError, RejectCode
from protocols.iso20022.lexical import bic11

SLICE = 20
"""Messages judged before other requests get their turn: 2 ms where their schemas are asked."""

LAST_ID = SettlementId("ffffffff-ffff-ffff-ffff-ffffffffffff")
"""Where a list of settlements begins: behind every id."""


_T = TypeVar("_T")

ANSWER_SECONDS: Final = 5.0
"""A request that is not durable by then is told to come back: longer than a restart of the
database, shorter than the patience of proxies (30 s and more) and of people."""

STALLED_SECONDS: Final = 2.0
"""A batch takes some 10 ms. While one has been under way for this long the database is away or
full: what comes now would only wait, and is told so at once."""


class Desk(Correspondence):
    """Implements `port.Gateway` over the parts that the composition root has made."""

    def __init__(
        self,
        *,
        pool: Pool,
        journal: Journal,
        runner: Runner,
        intake: Intake,
        keys: Keys,
        directory: Directory,
        rulebook: Rulebook,
        connections: Connections,
        mailboxes: Mailboxes,
        webhooks: Webhooks,
        open_max: int,
        legs_max: int,
        reachable: Callable[[str], bool],
        draining: Callable[[], bool],
    ) -> None:
        super().__init__(pool, mailboxes, webhooks)
        self._journal = journal
        self._runner = runner
        self._intake = intake
        self._releases = Releases(keys, self._runner)
        self._directory = directory
        self.scale = directory.scale
        self._rulebook = rulebook
        self._connections = connections
        self._open_max = open_max
        self._legs_max = legs_max
        self._reachable = reachable
        self._draining = draining
        self._resolutions = Resolutions(pool)
        self._patience = Patience(ANSWER_SECONDS)
        self.busy: Counter[str] = Counter()  # requests told to come back, by cause
        self.verdicts: Counter[tuple[str, str, str]] = Counter()  # definition, verdict, code

    # ------------------------------------------------------------------ messages

    async def take_messages(
        self, member: str, items: Sequence[Enveloped | ProtocolError]
    ) -> Sequence[Taken | ProtocolError | Busy]:
        """Judge each message by itself, queue the good ones, answer when they are durable."""
        if self._is_busy():
            return [item if isinstance(item, ProtocolError) else Busy() for item in items]
        judged: list[Arrival | ProtocolError] = []
        for n, item in enumerate(items):
            judged.append(item if isinstance(item, ProtocolError) else self._judge(member, item))
            if n % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        arrivals = tuple(item for item in judged if isinstance(item, Arrival))
        job = MessageJob(
            arrivals=arrivals,
            answer=asyncio.get_running_loop().create_future(),
            trace=trace.CURRENT.get(),
        )
        taken = await self._written(job, job.answer) if arrivals else []
        if taken is None:
            return [item if isinstance(item, ProtocolError) else Busy() for item in judged]
        answers = iter(taken)
        outcomes = [item if isinstance(item, ProtocolError) else next(answers) for item in judged]
        for said, found, outcome in zip(items, judged, outcomes, strict=True):
            self.verdicts[verdict(said, found, outcome)] += 1
        return outcomes

    async def _written(
        self, job: MessageJob | SwapJob, answer: "asyncio.Future[list[_T]]"
    ) -> list[_T] | None:
        """What became of a job once it is durable; None (busy) if that takes too long. Then it
        may still be written: whoever sends it again is given the same answer."""
        if not self._intake.put(job):
            self.busy["queue"] += 1
            return None
        try:
            return await self._patience.wait_for(answer)
        except TimeoutError:
            self.busy["database"] += 1
            return None

    def _judge(self, member: str, enveloped: Enveloped) -> Arrival | ProtocolError:
        header = enveloped.header
        if bic11(header.sender) != bic11(member):
            return ProtocolError(
                RejectCode.XAUT,
                f"this connection is {member}'s, not {header.sender}'s",
                location="/AppHdr/Fr",
                reference=header.business_message_id,
            )
        received_at, connection = now_ns(), self._connections.of(member)
        try:
            enveloped = connection.admit(enveloped, received_at)
            envelope.validate(enveloped, connection.accepted)
        except ProtocolError as error:
            return error
        content = inbound.decode(enveloped)
        return Arrival(
            id=new_id(),
            member=bic11(member),
            received_at=received_at,
            enveloped=enveloped,
            content=content,
            refusal=self._rulebook.check(content, header.sender),
        )

    def _is_busy(self) -> bool:
        cause = self._cause()
        if cause is not None:
            self.busy[cause] += 1
        return cause is not None

    def _cause(self) -> str | None:
        """Why nothing is taken in at the moment."""
        if self._draining():
            return "draining"
        if self._runner.agreements.paused:
            return "restore"
        if not self._directory.complete:
            return "ledgers"
        if len(self._runner.lives) >= self._open_max:
            return "open"
        lag = max(self._intake.writer.lag, self._runner.writer.lag)
        return "database" if lag > STALLED_SECONDS else None

    # ------------------------------------------------------------------ agreed swaps

    async def take_settlements(
        self, member: str, proposed: Sequence[tuple[Swap, bytes]]
    ) -> Sequence[View | Refused | Conflict | Busy]:
        """Check every swap, open those that everybody consents to, keep the others as proposals."""
        if self._is_busy():
            return [Busy()] * len(proposed)
        member = bic11(member)
        heard: Heard = {}  # of one request all are drawn up at the same time of a ledger
        judged = [self._proposal(member, swap, digest, heard) for swap, digest in proposed]
        good = [item for item in judged if isinstance(item, Proposal)]
        if not good:
            return [item for item in judged if isinstance(item, Refused)]
        job = SwapJob(
            proposals=tuple(good),
            answer=asyncio.get_running_loop().create_future(),
            trace=trace.CURRENT.get(),
        )
        written = await self._written(job, job.answer)
        if written is None:
            return [item if isinstance(item, Refused) else Busy() for item in judged]
        answers = iter(written)
        taken = [item if isinstance(item, Refused) else next(answers) for item in judged]
        shown = await self._views([item for item in taken if isinstance(item, str)])
        for id, view in shown.items():
            if view.state.phase is PROPOSED:
                shown[id] = await self._consented(member, view)
        return [shown[item] if isinstance(item, str) else item for item in taken]

    def _proposal(self, member: str, swap: Swap, digest: bytes, heard: Heard) -> Proposal | Refused:
        faults = swaps.check(swap, legs_max=self._legs_max) or self._party_faults(member, swap)
        if faults:
            return Refused(faults=faults)
        payers = swap.payers
        consents = self._rulebook.attorneys(payers)
        if member in payers:
            consents |= {MemberId(member)}
        drawn = self._runner.agreements.draw(swap, heard)
        if isinstance(drawn, tuple):
            return Refused(faults=drawn)
        agreed = consents >= payers
        return Proposal(
            swap=swap if agreed else self._rulebook.with_consent_time(swap),
            digest=digest,
            consents=consents,
            opened=drawn if agreed else None,
        )

    def _party_faults(self, member: str, swap: Swap) -> tuple[Fault, ...]:
        if not swap.has_party(member):
            return (Fault(field="legs", rule=f"the sender {member} is a party of the swap"),)
        return self._rulebook.swap_faults(swap)

    async def _consented(self, member: str, view: View) -> View:
        """Posting the same terms again is consent, where one was missing."""
        if MemberId(member) in view.state.consents:
            return view
        accepted = await self.accept(Principal(name=member, role="member"), view.id)
        return accepted if isinstance(accepted, View) else view

    # ------------------------------------------------------------------ reading

    async def show(self, principal: Principal, id: SettlementId) -> View | None:
        """A settlement as far as the asker may see it."""
        view = (await self._views([id])).get(id)
        if view is None or not self._may_see(principal, view.state.swap):
            return None
        return await self._with_resolutions(principal, view)

    async def _with_resolutions(self, principal: Principal, view: View) -> View:
        """Operators see what was said to resolve it."""
        if principal.role == "member" or not view.state.restored:
            return view
        return msgspec.structs.replace(view, resolutions=await self._resolutions.said(view.id))

    async def _views(self, ids: Sequence[SettlementId]) -> dict[SettlementId, View]:
        """From memory where this replica runs it, else from the journal."""
        lives, found = self._runner.lives, {}
        for id in ids:
            if id in lives:
                found[id] = self._view(id, lives[id])
        if missing := [id for id in ids if id not in found]:
            for id, loaded in (await self._journal.load(missing)).items():
                found[id] = self._view(id, loaded)
        return found

    def _view(self, id: SettlementId, known: Live | Loaded) -> View:
        return View(
            id=id,
            created_at=known.created_at,
            state=known.state,
            pair=known.pair,
            safe_downtime=self._runner.agreements.safe_downtime(known.state),
        )

    def _may_see(self, principal: Principal, swap: Swap) -> bool:
        match principal.role:
            case "gateway":
                return True
            case "member":
                return MemberId(bic11(principal.name)) in swap.parties
            case _:
                return principal.ledger in {leg.ledger for leg in swap.legs}

    async def list(
        self, principal: Principal, *, before: SettlementId | None, limit: int
    ) -> Sequence[Summary]:
        """Newest ids first. An operator of one ledger asks for settlements by id only."""
        start = before or LAST_ID
        if principal.role == "gateway":
            rows = await self._pool.fetch(QUERIES["list_all_settlements"], start, limit)
        elif principal.role == "member":
            rows = await self._pool.fetch(
                QUERIES["list_settlements"], bic11(principal.name), start, limit
            )
        else:
            rows = []
        return [
            Summary(
                id=SettlementId(str(row["settlement"])),
                created_at=row["created_at"],
                state=row["phase"],
            )
            for row in rows
        ]

    # ------------------------------------------------------------------ requests

    async def accept(self, principal: Principal, id: SettlementId) -> View | Denied | None:
        """A payer consents to a proposal."""
        view = await self.show(principal, id)
        member = MemberId(bic11(principal.name))
        if view is None or principal.role != "member":
            return None
        if member not in view.state.swap.payers:
            return Denied(code="DPRG", why="only a payer's consent is asked for")
        return await self._ask(view, Consented(member=member), may_consent)

    async def cancel(
        self, principal: Principal, id: SettlementId, reason: str
    ) -> View | Denied | None:
        """A party asks for cancellation (all of them must), or an authority orders it."""
        view = await self.show(principal, id)
        if view is None:
            return None
        by = MemberId(bic11(principal.name) if principal.role == "member" else principal.name)
        event = CancelRequested(by=by, ordered=principal.role != "member", why=reason)
        return await self._ask(view, event, may_cancel)

    async def resolve(
        self, principal: Principal, id: SettlementId, decision: Decision, evidence: str
    ) -> View | Denied | None:
        """An operator says how a lost decision went; the second who says the same decides."""
        view = await self.show(principal, id)
        if view is None or principal.role == "member" or is_done(view.state, decision):
            return view
        if (refused := may_resolve(view.state)) is not None:
            return Denied.of(refused)
        decided = await self._resolutions.say(id, principal.name, decision, evidence)
        if decided is None:
            return await self.show(principal, id)
        answer = await self._ask(view, decided, may_resolve)
        return answer if isinstance(answer, Denied) else await self.show(principal, id)

    async def release(
        self, principal: Principal, id: SettlementId, leg: str, preimage: bytes
    ) -> View | Denied | Refused | None:
        view = await self.show(principal, id)
        if view is None or principal.role != "member":
            return None
        by = MemberId(bic11(principal.name))
        refused = await self._releases.take(view.state, by, LegId(leg), preimage)
        return refused or (await self._views([id]))[id]

    async def _ask(
        self, view: View, event: Event, check: Callable[[Settlement], str | None]
    ) -> View | Denied:
        refused = await self._runner.request(view.id, event, check)
        return Denied.of(refused) if refused else (await self._views([view.id]))[view.id]

    # ------------------------------------------------------------------ mailboxes

    async def conversation(
        self, member: str, id: SettlementId
    ) -> Sequence[Received | Stored] | None:
        view = await self.show(Principal(name=member, role="member"), id)
        if view is None:
            return None
        return await self._mailboxes.conversation(bic11(member), id, view.pair)

    # ------------------------------------------------------------------ ledgers

    def ledgers(self) -> Sequence[LedgerState]:
        clocks = self._runner.clocks()
        return [
            LedgerState(
                name=name,
                kind=access.kind,
                description=self._directory.descriptions.get(LedgerId(name)),
                clock_at=clock.at if (clock := clocks.get(LedgerId(name))) else None,
                reachable=self._reachable(name),
                fault=self._directory.distrusted.get(name),
            )
            for name, access in self._directory.ledgers.items()
        ]
