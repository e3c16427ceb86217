"""From the trace of a simulated world to the story of a case: steps for the diagram, notices,
reasons."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from gateway.simulation.journal import Journal
from gateway.simulation.scenario import Scenario
from gateway.simulation.scenario_run import Kind, Step
from gateway.simulation.trace import Happened, What
from gateway.swaps import SettlementNotice
from htlc.units import SECOND, SettlementId

_EFFECTS: Final = {
    What.LOCKED: "locked",
    What.EXECUTED: "executed",
    What.CANCELLED: "returned (key)",
    What.REFUNDED: "returned (expired)",
    What.UNDONE: "undone",
}

_COMMANDS: Final = {
    "Lock": "lock",
    "Unlock execution": "claim",
    "Unlock cancellation": "open back",
    "Refund": "refund",
}

_notice = msgspec.json.Decoder(SettlementNotice)


def steps(scenario: Scenario, trace: Sequence[Happened]) -> tuple[Step, ...]:
    """What a reader wants to see: commands, effects, records, notices, faults. Looks and their
    answers, of which there are many, are left out."""
    return tuple(_steps(_Names(scenario), trace))


class _Names:
    """Participants as the scenario names them."""

    def __init__(self, scenario: Scenario) -> None:
        self._parties = {spec.bic: name for name, spec in scenario.parties.items()}
        self._replicas = scenario.replicas
        self.payers = tuple(dict.fromkeys(leg.payer for leg in scenario.legs))
        self.ledgers = set(scenario.ledgers)
        self.ledger_of = {leg.leg: leg.ledger for leg in scenario.legs}

    @property
    def gateway(self) -> str:
        """Who speaks with the parties."""
        return "gateway-1" if self._replicas > 1 else "gateway"

    def of(self, node: str) -> str:
        if node in self._parties or node in self.ledgers:
            return self._parties.get(node, node)
        if self._replicas > 1 and node.startswith("gateway-"):
            return node
        return self.gateway


def _steps(names: _Names, trace: Sequence[Happened]) -> Iterator[Step]:
    for entry in trace:
        ledger = names.ledger_of.get(entry.leg or "")
        match entry.what:
            case What.SENT if ledger is not None and (text := _command(entry)):
                yield _step(names, entry, Kind.MESSAGE, text, ledger)
            case What.LOST if ledger is not None and (text := _command(entry)):
                yield _step(names, entry, Kind.LOST, f"{text} lost", None)
            case What.REFUSED if entry.leg is not None or "Lock" in entry.detail:
                yield _step(names, entry, Kind.NOTE, f"refused: {_tail(entry.detail)}", None)
            case _:
                yield from _others(names, entry)


def _others(names: _Names, entry: Happened) -> Iterator[Step]:
    match entry.what:
        case What.LOCKED | What.EXECUTED | What.CANCELLED | What.REFUNDED | What.UNDONE:
            yield _step(names, entry, Kind.EFFECT, _EFFECTS[entry.what], None)
        case What.PROPOSED:
            for party in names.payers:
                yield Step(
                    at_ns=entry.at,
                    kind=Kind.MESSAGE,
                    source=party,
                    target=names.gateway,
                    text="agrees",
                )
        case What.OPENED:
            yield _step(names, entry, Kind.RECORD, "opened", None)
        case What.DECIDED:
            yield _step(names, entry, Kind.RECORD, entry.detail.replace("_", " "), None)
        case What.NOTICE:
            party = names.of(entry.node)
            yield Step(
                at_ns=entry.at,
                kind=Kind.NOTICE,
                source=names.gateway,
                target=party,
                text=entry.detail,
            )
        case What.FAULT:
            yield _step(names, entry, Kind.FAULT, _fault(entry.detail), None)
        case What.STARTED:
            yield _step(names, entry, Kind.NOTE, "is back", None)
        case What.PHASE | What.CANCEL_ASKED | What.SECRET_HANDED:
            yield _step(names, entry, Kind.NOTE, entry.detail or str(entry.what), None)
        case _:
            return


def _step(names: _Names, entry: Happened, kind: Kind, text: str, target: str | None) -> Step:
    return Step(
        at_ns=entry.at,
        kind=kind,
        source=names.of(entry.node),
        target=target,
        text=text,
        leg=entry.leg,
    )


def _command(entry: Happened) -> str | None:
    if entry.detail == "Lock on other terms":
        return "lock (other terms)"
    return _COMMANDS.get(entry.detail)


def _tail(detail: str) -> str:
    return detail.rpartition(": ")[2]


_CALL: Final = re.compile(r"(\w+)\((.*)\)").fullmatch


def _fault(detail: str) -> str:
    """A fault in words: `crashes for 3000000000`, `Cut(ledger=euro, outage=10000000000)`."""
    head, _, number = detail.rpartition(" for ")
    if number.isdecimal():
        return f"{head} for {_time(number)}"
    if not (call := _CALL(detail)):
        return detail
    values = dict(part.split("=", 1) for part in call[2].split(", ") if "=" in part)
    if "outage" in values:
        lost = f", {values['lost']} record lost" if "lost" in values else ""
        return f"{_WORDS.get(call[1], call[1])} for {_time(values['outage'])}{lost}"
    if "by" in values:
        return f"{_WORDS.get(call[1], call[1])} {_time(values['by'])}"
    way = "answers" if values.get("back") == "True" else "requests"
    return f"{_WORDS.get(call[1], call[1])} ({way})"


_WORDS: Final = {
    "Cut": "cut off",
    "Restore": "site lost, is down",
    "Step": "clock is set by",
    "Delay": "answers late by",
    "Lose": "messages lost",
    "Double": "messages come twice",
}


def _time(nanoseconds: str) -> str:
    return f"{int(nanoseconds) / SECOND:g} s"


def refused(scenario: Scenario, reasons: Sequence[str]) -> tuple[Step, ...]:
    """The story of a trade that is not taken: everybody proposes, and is refused."""
    payers = dict.fromkeys(leg.payer for leg in scenario.legs)
    asked = [
        Step(at_ns=0, kind=Kind.MESSAGE, source=party, target="gateway", text="propose")
        for party in payers
    ]
    told = [
        Step(at_ns=0, kind=Kind.NOTICE, source="gateway", target=party, text="REJECTED")
        for party in payers
    ]
    why = [Step(at_ns=0, kind=Kind.NOTE, source="gateway", text=text) for text in reasons]
    return (*asked, *why, *told)


def notices(scenario: Scenario, journal: Journal, id: SettlementId) -> dict[str, tuple[str, ...]]:
    """The final notices in each party's mailbox."""
    paid = {leg.payer for leg in scenario.legs} | {leg.payee for leg in scenario.legs}
    told = [(notice.member, _notice.decode(notice.content)) for notice in journal.notices()]
    return {
        name: tuple(
            each.state
            for member, each in told
            if member == spec.bic and each.final and each.settlement == id
        )
        for name, spec in scenario.parties.items()
        if name in paid
    }


def reasons(played: Sequence[Happened]) -> tuple[str, ...]:
    """Why it was decided as it was, and what ledgers refused."""
    return tuple(entry.detail for entry in played if entry.what in (What.DECIDED, What.REFUSED))


def ended_at(played: Sequence[Happened]) -> int:
    """When the last durable thing happened."""
    told = (What.PHASE, What.DECIDED, What.NOTICE)
    return max((entry.at for entry in played if entry.what in told), default=0)
