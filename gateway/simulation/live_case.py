"""One case against real services: moments are met on the wires, faults are done to processes."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import msgspec

from gateway.client import GatewayUnreachableError, ProblemError
from gateway.http import wire
from gateway.simulation.live_faults import Faults
from gateway.simulation.live_site import Site
from gateway.simulation.live_wire import Operations
from gateway.simulation.scenario import (
    BlockAccount,
    Case,
    End,
    LegEnd,
    Moment,
    MomentKind,
    ProposeOtherwise,
    Scenario,
    faults_of,
    moment,
)
from gateway.simulation.scenario_run import Kind, Run, Step
from gateway.simulation.scenario_terms import other_terms, proposal
from htlc.agreement import htlc_id
from htlc.contract import Status
from htlc.units import LegId, SettlementId
from protocols.iso20022.lexical import instant_text

POLL_SECONDS: Final = 0.05
PAGE: Final = 500
PATIENCE_SECONDS: Final = 90.0
"""The longest live case waits for an outage of half a minute and an expiry after it."""

NOTICE_SECONDS: Final = 5.0
"""From the end of a settlement until every party's notice can be read."""

_ENDS: Final = {str(end): end for end in End} | {"FROZEN": End.WAITING}

_LEGS: Final = {
    Status.LOCKED: LegEnd.LOCKED,
    Status.EXECUTED: LegEnd.EXECUTED,
    Status.CANCELLED: LegEnd.RETURNED,
}

_BEFORE: Final = {
    "lock": (MomentKind.OPENED, MomentKind.LOCK_SENT),
    "execute": (MomentKind.COMMITTED, MomentKind.CLAIM_SENT),
    "cancel": (MomentKind.CANCELLING,),
    "refund": (MomentKind.CANCELLING,),
}
"""The moments that a command on its way to a ledger shows: what it depends on is durable."""

_AFTER: Final = {
    Status.LOCKED: (MomentKind.LOCKED, MomentKind.ALL_LOCKED),
    Status.EXECUTED: (MomentKind.EXECUTED, MomentKind.ALL_EXECUTED),
    Status.CANCELLED: (MomentKind.RETURNED,),
}

_DURABLE: Final = {MomentKind.OPENED, MomentKind.COMMITTED, MomentKind.CANCELLING}
"""Moments at which nothing has left yet: a gateway that dies there sends nothing."""

_WORDS: Final = {"lock": "lock", "execute": "claim", "cancel": "open back", "refund": "refund"}


class LiveCase:
    """Plays one case; observes the wires."""

    def __init__(self, site: Site, scenario: Scenario, case: Case) -> None:
        self.site = site
        self.scenario = scenario
        self.case = case
        self.id = str(uuid.uuid4())
        self.legs = {
            str(htlc_id(SettlementId(self.id), LegId(leg.leg))): leg.leg for leg in scenario.legs
        }
        self.status: dict[str, Status] = {}
        self.steps: list[Step] = []
        self.faults = Faults(site, self.id, self._note_fault)
        self._mute = False  # the dead gateway's last requests are not passed on
        self._began = time.monotonic()
        self._waiting = [(fault, _when(fault.when)) for fault in faults_of(scenario, case)]

    async def play(self) -> Run:
        """From the proposal to the end of everything that was set going."""
        await self.site.top_up()
        before = await self.site.holdings()
        self.site.observer = self
        self._began = time.monotonic()
        try:
            await self._come((MomentKind.START, MomentKind.AT), None)
            reasons = await self._propose()
            view = None if reasons else await self._ended()
            seconds = time.monotonic() - self._began
            await self.faults.over()
            run = await self._told(view, reasons, seconds)
        finally:
            self.site.observer = None
            await self._clean_up()
        after = await self.site.holdings()
        return msgspec.structs.replace(
            run,
            balances=self.site.balances(before, after),
            wall_seconds=time.monotonic() - self._began,
        )

    # ------------------------------------------------------------------ proposing and waiting

    async def _propose(self) -> tuple[str, ...]:
        """Every payer posts the same terms; why they are refused, if they are."""
        terms = self._terms()
        for party in dict.fromkeys(leg.payer for leg in self.scenario.legs):
            self._step(Kind.MESSAGE, party, "propose", "gateway")
            try:
                await self._patiently(partial(self.site.member(party).propose, terms))
            except ProblemError as error:
                for reason in _reasons(error):
                    self._step(Kind.NOTE, "gateway", reason, None)
                return _reasons(error)
        return ()

    def _terms(self) -> dict[str, Any]:
        drawn = msgspec.to_builtins(proposal(self.scenario, self.scenario.legs, self.id))
        assert isinstance(drawn, dict)
        drawn["protocol"] = str(self.case.protocol)
        if self.case.cut_off_seconds is not None:
            cut_off = time.time_ns() + int(self.case.cut_off_seconds * 1e9)
            drawn["commit_by"] = instant_text(cut_off)
        return drawn

    async def _patiently(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """Ask again while the gateway is down."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return await ask()
            except GatewayUnreachableError:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(POLL_SECONDS)

    async def _ended(self) -> wire.SettlementView | None:
        """The settlement when it has ended; None if patience ends first."""
        client = self.site.member(self.scenario.legs[0].payer)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(GatewayUnreachableError):
                view = await client.settlement(self.id)
                if view.state in _ENDS:
                    return view
            await asyncio.sleep(POLL_SECONDS)
        return None

    # ------------------------------------------------------------------ what passes on the wires

    async def asked(self, ledger: str, operations: Operations) -> bool:
        """See `live_wire.Observer`."""
        if self._mute and self.faults.gateway_is_down:
            return False
        for operation in operations:
            leg = self.legs.get(_contract(operation))
            if leg is None:
                continue
            for kind in _BEFORE[operation["op"]]:
                struck = await self._come((kind,), leg)
                if struck and kind in _DURABLE and self.faults.gateway_is_down:
                    # What the other wires have already got of it has not left either.
                    self._mute = self.scenario.replicas == 1
                    return False
            self._step(Kind.MESSAGE, "gateway", _WORDS[operation["op"]], ledger, leg)
        return True

    async def answered(self, ledger: str, operations: Operations, answers: Operations) -> None:
        """See `live_wire.Observer`."""
        for operation, answer in zip(operations, answers, strict=True):
            leg = self.legs.get(_contract(operation))
            if leg is None:
                continue
            if "refusal" in answer:
                self._step(Kind.NOTE, ledger, f"refused: {answer['refusal']}", None, leg)
            if (held := answer.get("htlc")) is not None:
                await self._changed(ledger, leg, Status(held["status"]), "key" in held)

    async def _changed(self, ledger: str, leg: str, status: Status, by_key: bool) -> None:
        if self.status.get(leg) is status:
            return
        self.status[leg] = status
        how = "key" if by_key else "expired"
        text = {Status.LOCKED: "locked", Status.EXECUTED: "executed"}.get(
            status, f"returned ({how})"
        )
        self._step(Kind.EFFECT, ledger, text, None, leg)
        for kind in _AFTER[status]:
            everywhere = {self.status.get(each) for each in self.legs.values()} == {status}
            if kind in (MomentKind.LOCKED, MomentKind.EXECUTED, MomentKind.RETURNED) or everywhere:
                await self._come((kind,), leg)

    async def _come(self, kinds: tuple[MomentKind, ...], leg: str | None) -> bool:
        """Do what was waiting for a moment; whether there was anything."""
        due = [
            (fault, when)
            for fault, when in self._waiting
            if when.kind in kinds and when.leg in (None, leg)
        ]
        for fault, when in due:
            self._waiting.remove((fault, when))
            await self.faults.strike(fault, later=when.seconds)
        return bool(due)

    # ------------------------------------------------------------------ the story

    def _step(
        self, kind: Kind, source: str, text: str, target: str | None, leg: str | None = None
    ) -> None:
        at = int((time.monotonic() - self._began) * 1e9)
        self.steps.append(
            Step(at_ns=at, kind=kind, source=source, target=target, text=text, leg=leg)
        )

    def _note_fault(self, node: str, text: str, *, over: bool = False) -> None:
        self._step(Kind.NOTE if over else Kind.FAULT, node, text, None)

    async def _told(
        self, view: wire.SettlementView | None, reasons: tuple[str, ...], seconds: float
    ) -> Run:
        if view is None:
            end = End.REJECTED if reasons else None
            steps = [*self.steps]
            return Run(end=end, legs={}, steps=tuple(steps), reasons=reasons, seconds=seconds)
        notices = await self._notices() if view.state != End.BROKEN else {}
        for party, told in notices.items():
            for state in told:
                self._step(Kind.NOTICE, "gateway", state, party)
        risk = view.principal_risk
        run = Run(
            end=_ENDS[view.state],
            legs=await self._legs(view),
            steps=tuple(self.steps),
            violations=await self._violations(view),
            notices=notices,
            protocol=view.protocol,
            risk=str(risk.level) if risk else "none",
            window_seconds=risk.window_seconds if risk else None,
            reasons=(f"{view.decision.decision} {view.decision.reason}",) if view.decision else (),
            seconds=seconds,
        )
        return await self._proposed_otherwise(run)

    async def _proposed_otherwise(self, run: Run) -> Run:
        """The end of a second proposal under the same id, where the case makes one."""
        found = (f for f in faults_of(self.scenario, self.case) if isinstance(f, ProposeOtherwise))
        if (other := next(found, None)) is None:
            return run
        terms = self._terms()
        for leg in terms["legs"]:
            leg["quantity"] = other.amount if leg["leg"] == other.leg else leg["quantity"]
        try:
            await self.site.member(self.scenario.legs[0].payer).propose(terms)
        except ProblemError as error:
            told = (*other_terms(self.scenario, other), *_reasons(error))
            return msgspec.structs.replace(run, end=End.REJECTED, reasons=told, notices={})
        return msgspec.structs.replace(run, end=None)

    async def _legs(self, view: wire.SettlementView) -> dict[str, LegEnd]:
        """By the ledgers' own word."""
        found = {}
        for leg in view.legs:
            (answer,) = (
                await self.site.look(leg.ledger, [leg.contract]) if leg.contract else (None,)
            )
            held = answer.htlc if answer is not None else None
            found[leg.leg] = LegEnd.ABSENT if held is None else _LEGS[held.status]
        return found

    async def _violations(self, view: wire.SettlementView) -> tuple[str, ...]:
        """What the auditor of the demo says: ends of legs, and conservation on every ledger."""
        wrong = [f"1: {text}" for text in await self.site.auditor.ends([view])]
        for ledger, books in (await self.site.auditor.books()).items():
            wrong += [
                f"2: {ledger}: {position.asset} differs from its issue by {position.difference}"
                for position in books.positions
                if position.difference != "0"
            ]
        return tuple(wrong)

    async def _notices(self) -> dict[str, tuple[str, ...]]:
        """Final notices of each paying party, read until each has one."""
        parties = dict.fromkeys(leg.payer for leg in self.scenario.legs)
        deadline = time.monotonic() + NOTICE_SECONDS
        while True:
            found = {party: await self._notices_of(party) for party in parties}
            if all(found.values()) or time.monotonic() > deadline:
                return found
            await asyncio.sleep(POLL_SECONDS)

    async def _notices_of(self, party: str) -> tuple[str, ...]:
        client, after, found = self.site.member(party), None, list[str]()
        while True:
            page = await self._patiently(partial(client.inbox, after, PAGE))
            for message in page.messages:
                content = message.message if isinstance(message.message, dict) else {}
                if message.settlement == self.id and content.get("final"):
                    found.append(str(content["state"]))
            if not page.messages:
                return tuple(found)
            after = page.next

    async def _clean_up(self) -> None:
        """Nothing of this case is left for the next one."""
        await self.faults.over()
        for each in self.site.wires.values():
            each.heal()
        for fault in faults_of(self.scenario, self.case):
            if isinstance(fault, BlockAccount):
                await self.site.set_blocked(fault.ledger, fault.party, False)


def _when(text: str) -> Moment:
    found = moment(text)
    assert found is not None, "the file was checked"
    return found


def _contract(operation: dict[str, Any]) -> str:
    terms = operation.get("terms")
    return str(terms["id"] if isinstance(terms, dict) else operation.get("id"))


def _reasons(error: ProblemError) -> tuple[str, ...]:
    told = [f"{each.field}: {each.rule}" for each in error.problem.errors]
    return (error.problem.detail or error.problem.title, *told)
