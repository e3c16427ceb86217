"""Two copies of the terms of one trade, compared as the gateway compares them: by the digest of
their normal form (`gateway.http.proposals`)."""

from typing import cast

import msgspec

from gateway.http import proposals, wire
from gateway.port import Gateway
from gateway.simulation.scenario import LegSpec, ProposeOtherwise, Scenario

ID = "6f1c2d3e-4a5b-4c6d-8e7f-0123456789ab"
"""Of the trade; any one does, for only the digests are compared."""


class _Scales:
    """As much of a gateway as reading a proposal asks for: how its assets are counted."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario

    def scale(self, ledger: str, asset: str) -> int | None:
        spec = self._scenario.ledgers.get(ledger)
        return spec.scale if spec is not None and spec.asset == asset else None


def other_terms(scenario: Scenario, other: ProposeOtherwise) -> tuple[str, ...]:
    """Why the second copy is refused; empty if the two say the same."""
    first = _digest(scenario, scenario.legs)
    changed = tuple(
        msgspec.structs.replace(leg, amount=other.amount) if leg.leg == other.leg else leg
        for leg in scenario.legs
    )
    if first == _digest(scenario, changed):
        return ()
    return (f"leg {other.leg}: the same id is proposed with other terms",)


def _digest(scenario: Scenario, legs: tuple[LegSpec, ...]) -> bytes:
    gateway = cast(Gateway, _Scales(scenario))
    drawn = proposals.read(proposal(scenario, legs), gateway)
    assert isinstance(drawn, tuple), drawn
    return drawn[1]


def proposal(scenario: Scenario, legs: tuple[LegSpec, ...], id: str = ID) -> wire.Proposal:
    """A trade as a member posts it."""
    return wire.Proposal(
        id=id,
        legs=tuple(
            wire.LegProposal(
                leg=leg.leg,
                ledger=leg.ledger,
                asset=scenario.ledgers[leg.ledger].asset,
                quantity=leg.amount,
                payer=_party(scenario, leg.payer, leg.ledger),
                payee=_party(scenario, leg.payee, leg.ledger),
            )
            for leg in legs
        ),
    )


def account(scenario: Scenario, party: str, ledger: str) -> str:
    """The account of a party on a ledger."""
    return f"{ledger.upper()}-{scenario.parties[party].bic[:6]}-0001"


def _party(scenario: Scenario, party: str, ledger: str) -> wire.PartyProposal:
    return wire.PartyProposal(
        member=scenario.parties[party].bic, account=account(scenario, party, ledger)
    )
