"""A foreign exchange trade that settles payment versus payment: what is understood of a fxtr.014.

And of fxtr.015 (amendment) and fxtr.016 (cancellation), and the status told of it (fxtr.017). Plain
values, JSON-serialisable by msgspec, as they are stored, matched and settled.
"""

from datetime import date
from enum import StrEnum

import msgspec

from htlc.units import Value
from protocols.iso20022.codes import ReasonCode
from protocols.iso20022.instruction import Unreadable
from protocols.iso20022.lock_block import LockBlock


class FxAmount(Value, frozen=True, kw_only=True):
    """Canonical decimal text and its currency."""

    currency: str
    amount: str


class Rate(Value, frozen=True, kw_only=True, omit_defaults=True):
    """The agreed rate: one `unit` costs `value` of `quoted`. `decimals` as it was written: a rate
    of 1.1000 says more than one of 1.1."""

    value: str
    decimals: int
    unit: str | None = None
    quoted: str | None = None


class FxTrade(Value, frozen=True, kw_only=True, omit_defaults=True):
    """One side's instruction, seen from the trading side, which sent it.

    `rules.check` of fx refuses it where `unreadable` is not empty; past that every field holds.
    """

    sender: str  # BIC of the header's Fr, as sent
    definition: str  # version it came in, for example fxtr.014.001.05
    transaction_id: str  # OrgtrRef
    common_id: str | None = None  # CmonRef
    trade_date: date
    settlement_date: date  # the value date, of both amounts
    party: str  # the trading side; BICs are as sent
    counterparty: str
    buys: FxAmount
    sells: FxAmount
    rate: Rate
    operation: str | None = None
    product: str | None = None  # for example SPOT
    pvp: bool = False
    receiving_account: str | None = None  # of the trading side, for what it buys
    paying_account: str | None = None  # of the trading side, for what it sells
    lock: LockBlock | None = None
    unreadable: tuple[Unreadable, ...] = ()


def base_currency(*trades: FxTrade) -> str:
    """The base currency of an exchange, by one side's trade or both: the one that is quoted. Where
    none is, or the sides quote differently, the first by its letters: the same whoever asks."""
    quoted = {trade.rate.unit for trade in trades if trade.rate.unit is not None}
    sold = {amount.currency for trade in trades for amount in (trade.buys, trade.sells)}
    return min(quoted if len(quoted) == 1 else sold)


class FxAmendment(Value, frozen=True, kw_only=True):
    """fxtr.015: the trade as it shall be. `market_reference` is ours for the trade as it is."""

    market_reference: str
    reason: str | None
    trade: FxTrade


class FxCancellation(Value, frozen=True, kw_only=True):
    """fxtr.016: the trade shall not settle. It is told again as its sender has it; the rate may be
    left out there, and is then unreadable."""

    market_reference: str
    reason: str | None
    trade: FxTrade


class TradeStatus(StrEnum):
    """fxtr.017 `StsCd` (TradeStatus6Code), as the gateway uses them."""

    UNMATCHED = "UMTC"
    MATCHED = "FMTC"
    SELECTED = "SMAT"  # its value date has come, locks are being placed
    PENDING = "SMAP"  # selected, and waits for what its sub-status says
    SETTLED = "STLD"
    RESCINDED = "RSCD"  # cancelled
    INVALID = "INVA"  # breaks a rule: no trade
    REJECTED = "RJCT"  # well formed, and not taken for what is known already

    @property
    def is_final(self) -> bool:
        return self in _FINAL


_FINAL = (
    TradeStatus.SETTLED,
    TradeStatus.RESCINDED,
    TradeStatus.INVALID,
    TradeStatus.REJECTED,
)


class RequestStatus(ReasonCode):
    """fxtr.017 `SubStsCd` on the way of an amendment or a cancellation; proprietary."""

    CONF = "CONF", "waits for the counterparty's own request"
    CXRQ = "CXRQ", "the counterparty asks for cancellation"
    AMRQ = "AMRQ", "the counterparty asks for amendment"
    DONE = "DONE", "done as asked"


class FxLockStatus(ReasonCode):
    """fxtr.017 `SubStsCd` beside SMAP: state of the locks; proprietary."""

    ALKD = "ALKD", "what side A pays is locked"
    BLKD = "BLKD", "what side B pays is locked"
    HLKD = "HLKD", "both payments are locked"
    ACLM = "ACLM", "side A has paid, the claim of the other payment is open"
    BCLM = "BCLM", "side B has paid, the claim of the other payment is open"


class Operation(StrEnum):
    """`OprTp`: which kind of message is answered."""

    NEW = "NEWT"
    AMEND = "AMND"
    CANCEL = "CANC"


class FxStatus(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="fx"
):
    """fxtr.017: where a trade stands. `sub_status` is the reason beside it, `text` says it for
    people. Where it `answers` a request about the trade, the status is repeated as it is, and is no
    news (a denied cancellation of a settled trade says settled again)."""

    trade: FxTrade
    market_tx: str
    matching_tx: str | None = None  # of the pair
    counterparty_market_tx: str | None = None
    status: TradeStatus
    sub_status: str | None = None
    at: int
    text: str | None = None
    answers: Operation | None = None
    reason: str | None = None  # of the request answered, as its sender gave it
    lock: LockBlock | None = None  # for parties who speak of locks

    @property
    def is_final(self) -> bool:
        """Nothing more happens to the trade; told once to each side."""
        return self.status.is_final and self.answers is None
