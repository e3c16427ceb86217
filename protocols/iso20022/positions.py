"""What the gateway writes about the position that a securities lock stands in, as values: the
instruction to a registry (semt.013), why it was not done (semt.014), what was done (semt.015).

Between the gateway and a ledger there is the ledger's own interface only; these say the same in the
words of a registry's back office: a lock takes a quantity from the available balance (AVAI) of an
account to its blocked balance (BLOK), a release takes it back, a move takes it away.
"""

from datetime import date
from enum import StrEnum

import msgspec

from htlc.units import Value
from protocols.iso20022.codes import PositionReason, PositionRejection
from protocols.iso20022.instruction import QuantityType
from protocols.iso20022.lexical import escaped
from protocols.iso20022.lock_block import LockBlock


class Posting(StrEnum):
    """What happens to a position."""

    LOCK = "lock"  # AVAI to BLOK
    RELEASE = "release"  # BLOK to AVAI
    MOVE = "move"  # BLOK to the payee's account
    TRANSFER = "transfer"  # AVAI to another account of the same owner


class Position(Value, frozen=True, kw_only=True, omit_defaults=True):
    """Whose position, in which account, of how much of what."""

    owner: str  # BIC
    account: str
    isin: str
    quantity_type: QuantityType
    quantity: str  # canonical decimal


class PositionInstruction(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="position_instruction",
):
    """semt.013: what the registry is to do. `payee_account` is told of a move."""

    id: str  # the contract's, one for each posting
    market_tx: str | None = None
    position: Position
    posting: Posting
    settlement_date: date
    payee_account: str | None = None
    lock: LockBlock | None = None


class PositionStatus(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="position_status",
):
    """semt.014: the registry has not done it, and why: settlement may still be possible (`Pdg`), or
    it is `rejected` for good (`Rjctd`), with the rule in words."""

    id: str
    servicer_tx: str | None = None
    market_tx: str | None = None
    reason: str
    rejected: bool = False
    text: str | None = None

    def __post_init__(self) -> None:
        codes = PositionRejection if self.rejected else PositionReason
        assert self.reason in codes._value2member_map_, "a reason of the code set"


class PositionConfirmation(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="position_confirmation",
):
    """semt.015: done. `effective_at` is the ledger's time (UTC ns), final by the ledger's word."""

    id: str
    servicer_tx: str | None = None
    market_tx: str | None = None
    position: Position
    posting: Posting
    effective_at: int
    lock: LockBlock | None = None


PositionMessage = PositionInstruction | PositionStatus | PositionConfirmation

#: Max35Text: a longer name is a wallet's (BlckChainAdrOrWllt, 140).
ACCOUNT_LENGTH_MAX = 35


def account(identifier: str) -> str:
    """A safekeeping account, as what its name fits into."""
    name = "SfkpgAcct" if len(identifier) <= ACCOUNT_LENGTH_MAX else "BlckChainAdrOrWllt"
    return f"<{name}><Id>{escaped(identifier, 140)}</Id></{name}>"


def owner_and_instrument(position: Position) -> str:
    """AcctOwnr to FinInstrmId."""
    return (
        f"<AcctOwnr><AnyBIC>{escaped(position.owner)}</AnyBIC></AcctOwnr>"
        + account(position.account)
        + f"<FinInstrmId><ISIN>{escaped(position.isin)}</ISIN></FinInstrmId>"
    )


def quantity(name: str, position: Position) -> str:
    kind = position.quantity_type
    return f"<{name}><{kind}>{position.quantity}</{kind}></{name}>"


def balances(posting: Posting, issuer: str) -> str:
    """BalFr and BalTo. ISO has no sub-balance of what has left for another account: that one is
    proprietary (MOVE), issued by who writes it."""
    moved = f"<Prtry><Id>MOVE</Id><Issr>{escaped(issuer)}</Issr><SchmeNm>HTLC</SchmeNm></Prtry>"
    available, blocked = "<Cd>AVAI</Cd>", "<Cd>BLOK</Cd>"
    source, target = {
        Posting.LOCK: (available, blocked),
        Posting.RELEASE: (blocked, available),
        Posting.MOVE: (blocked, moved),
        Posting.TRANSFER: (available, moved),
    }[posting]
    return f"<BalFr><Tp>{source}</Tp></BalFr><BalTo><Tp>{target}</Tp></BalTo>"
