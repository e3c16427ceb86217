"""The gateway's own rules on what is proposed: on instructions, and on agreed swaps."""

from collections.abc import Callable
from typing import assert_never

from msgspec.structs import replace

from gateway import party_locks
from gateway.days import Days
from gateway.directory import Directory
from htlc.swap import Fault, Leg, Party, Swap
from htlc.units import Duration, Instant, LedgerId, MemberId
from protocols.iso20022 import fx_rules, payment_rules, rules
from protocols.iso20022.codes import RejectionReason
from protocols.iso20022.fx import FxAmendment, FxCancellation, FxTrade
from protocols.iso20022.inbound import Content
from protocols.iso20022.instruction import Payment, QuantityType, SettlementInstruction
from protocols.iso20022.lexical import bic11
from protocols.iso20022.payment import LiquidityTransfer, PaymentOrder, PaymentRecall
from protocols.iso20022.requests import CancellationRequest, HoldRequest
from protocols.iso20022.rules import BusinessRefusal, Currency, Instrument, Reference

YEARS_AHEAD_MAX = 10
"""Forward settlement goes to a year or two; what lies ten ahead is a slip of the pen."""


class Rulebook:
    """Reference data in the form in which rules ask for it."""

    def __init__(
        self,
        directory: Directory,
        *,
        days: Days,
        consent_within: Duration,
        clock: Callable[[LedgerId], Instant],
    ) -> None:
        self._directory = directory
        self._days = days
        self._consent_within = consent_within
        self._clock = clock
        self._reference: Reference | None = None

    def changed(self) -> None:
        """A ledger has told what it keeps: reference data is made anew."""
        self._reference = None

    def check(self, content: Content, sender: str) -> BusinessRefusal | None:
        """The first rule that a message breaks by itself. What is asked about an instruction is
        judged where that is known, and answered by a message of its own."""
        reference = self._reference or self._make_reference()
        match content:
            case SettlementInstruction():
                days = self._days
                broken = rules.check(content, reference, days.today(), days.accepts)
                return broken or _not_served(content)
            case FxTrade():
                days = self._days
                broken = fx_rules.check(content, reference, days.today(), days.accepts)
                return broken or _too_far(content) or party_locks.fault(content)
            case FxAmendment():
                return self.check(content.trade, sender)
            case PaymentOrder():
                return payment_rules.check(content, reference)
            case LiquidityTransfer():
                today = self._days.today()
                return payment_rules.check_transfer(content, reference, sender, today)
            case FxCancellation() | CancellationRequest() | HoldRequest() | PaymentRecall():
                return None
            case _:
                assert_never(content)

    def _make_reference(self) -> Reference:
        directory = self._directory
        self._reference = Reference(
            instruments={
                asset.asset: Instrument(
                    ledger=name,
                    quantity_type=QuantityType(asset.quantity_type),
                    scale=asset.scale,
                )
                for name, description in directory.descriptions.items()
                if directory.ledgers[name].kind == "securities"
                for asset in description.assets
            },
            currencies={
                asset.asset: Currency(ledger=name, scale=asset.scale)
                for name, description in directory.descriptions.items()
                if directory.ledgers[name].kind == "currency"
                for asset in description.assets
            },
            depositories=frozenset(
                bic11(access.depository)
                for access in directory.ledgers.values()
                if access.depository
            ),
            accounts={
                bic: {ledger: frozenset(ids) for ledger, ids in member.accounts.items()}
                for bic, member in directory.members.items()
            },
        )
        return self._reference

    def attorneys(self, payers: frozenset[MemberId]) -> frozenset[MemberId]:
        """The payers whose standing power of attorney covers them (reference data)."""
        return payers & self._directory.attorneys

    def with_consent_time(self, swap: Swap) -> Swap:
        """A proposal that waits for consent does not wait for ever."""
        if swap.commit_by is not None:
            return swap
        now = self._clock(swap.legs[0].ledger)
        return replace(swap, commit_by=Instant(now + self._consent_within))

    def swap_faults(self, swap: Swap) -> tuple[Fault, ...]:
        """What reference data says against a swap."""
        faults: list[Fault] = []
        for n, leg in enumerate(swap.legs):
            if not self._directory.knows(leg):
                self._leg_faults(n, leg, faults)
        return tuple(faults)

    def _leg_faults(self, n: int, leg: Leg, faults: list[Fault]) -> None:
        if leg.ledger not in self._directory.ledgers:
            known = ", ".join(sorted(self._directory.ledgers))
            faults.append(Fault(field=f"legs[{n}].ledger", rule=f"one of {known}"))
        elif leg.ledger in self._directory.distrusted:
            rule = self._directory.distrusted[leg.ledger]
            faults.append(Fault(field=f"legs[{n}].ledger", rule=rule))
        else:
            self._asset_faults(n, leg, faults)
            for side, party in (("payer", leg.payer), ("payee", leg.payee)):
                if not self._directory.is_account(leg.ledger, party):
                    faults.append(self._stranger(f"legs[{n}].{side}", leg.ledger, party))

    def _asset_faults(self, n: int, leg: Leg, faults: list[Fault]) -> None:
        field = f"legs[{n}].asset"
        if self._directory.scale(leg.ledger, leg.asset) is None:
            faults.append(Fault(field=field, rule=f"{leg.ledger} keeps no {leg.asset}"))
        elif self._directory.is_stopped(leg.ledger, leg.asset):
            rule = f"a reconciliation break of {leg.asset} on {leg.ledger} is open: come back later"
            faults.append(Fault(field=field, rule=rule))

    def _stranger(self, field: str, ledger: LedgerId, party: Party) -> Fault:
        if self._directory.member(party.member) is None:
            return Fault(field=f"{field}.member", rule=f"{party.member} is no member")
        rule = f"{party.account} is no account of {party.member} on {ledger}"
        return Fault(field=f"{field}.account", rule=rule)


def _too_far(trade: FxTrade) -> BusinessRefusal | None:
    if trade.settlement_date.year - trade.trade_date.year <= YEARS_AHEAD_MAX:
        return None
    return BusinessRefusal(
        code=RejectionReason.DDAT,
        field="/Document/*/TradAmts/SttlmDt",
        rule=f"lies more than {YEARS_AHEAD_MAX} years after the trade",
    )


def _not_served(instruction: SettlementInstruction) -> BusinessRefusal | None:
    """What is well formed, and yet nothing that this gateway settles today."""
    if instruction.payment is Payment.FREE:
        return BusinessRefusal(
            code=RejectionReason.VALR,
            field="/Document/SctiesSttlmTxInstr/SttlmTpAndAddtlParams/Pmt",
            rule="only settlement against payment (APMT) is served",
        )
    if instruction.settlement_date.year - instruction.trade_date.year > YEARS_AHEAD_MAX:
        return BusinessRefusal(
            code=RejectionReason.DDAT,
            field="/Document/SctiesSttlmTxInstr/TradDtls/SttlmDt/Dt/Dt",
            rule=f"lies more than {YEARS_AHEAD_MAX} years after the trade",
        )
    if bic11(instruction.delivering.party1) == bic11(instruction.receiving.party1):
        return BusinessRefusal(
            code=RejectionReason.ICAG,
            field="/Document/SctiesSttlmTxInstr/RcvgSttlmPties/Pty1",
            rule="the two sides are two members: nobody settles with itself",
        )
    return party_locks.fault(instruction)
