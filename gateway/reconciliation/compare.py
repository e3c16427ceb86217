"""What is held against what, and what does not agree. Pure.

Three numbers of each issue (ISIN or currency) on each ledger, all as of one posting:

    issued   what the ledger says it has issued: its counter-account (issuer, reserves)
    held     what its accounts hold, locked or not
    told     what its postings came to, as this gateway has read and kept them

and, account by account, the balance against what it was plus what was posted since (CSDR Art. 37;
RTS 2017/392 Art. 59-65: per issue and per account, daily, by double entry). Beside that, each leg
of our settlements that a ledger has ended, against the end of its settlement.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

import msgspec

from gateway.port import Total
from ledgers.books import Holding, Position


class BreakKind(StrEnum):
    """What does not agree."""

    ISSUED = "issued"  # issued, and what the accounts hold
    TOLD_ISSUED = "told-issued"  # issued, and what was posted as issued and redeemed
    TOLD_LOCKED = "told-locked"  # locked, and what was posted as locked and ended
    AVAILABLE = "available"  # of one account, and what was posted to it
    LOCKED = "locked"
    LEG = "leg"  # the end of a leg, and that of its settlement
    ORDER = "order"  # the ledger's last posting, and the last one that was read of it


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One disagreement, in smallest units; `asset` empty: of the whole ledger, `account` empty: of
    the asset in all."""

    kind: BreakKind
    asset: str = ""
    account: str = ""
    expected: int
    found: int
    what: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What is the same disagreement, seen again."""
        return self.asset, self.account, self.kind


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the postings of one asset came to."""

    issued: int = 0
    locked: int = 0


def totals(positions: Iterable[Position], told: Mapping[str, Told]) -> tuple[Total, ...]:
    return tuple(
        Total(
            asset=p.asset,
            issued=p.issued,
            held=p.available + p.locked,
            locked=p.locked,
            told=told.get(p.asset, Told()).issued,
        )
        for p in positions
    )


def of_assets(positions: Iterable[Position], told: Mapping[str, Told]) -> Iterator[Found]:
    """Issued, held and told, of each asset."""
    for p in positions:
        by_postings = told.get(p.asset, Told())
        if p.difference:
            yield Found(
                kind=BreakKind.ISSUED,
                asset=p.asset,
                expected=p.issued,
                found=p.available + p.locked,
                what="the accounts do not hold what was issued",
            )
        if p.issued != by_postings.issued:
            yield Found(
                kind=BreakKind.TOLD_ISSUED,
                asset=p.asset,
                expected=by_postings.issued,
                found=p.issued,
                what="the issued amount is not what its postings come to",
            )
        if p.locked != by_postings.locked:
            yield Found(
                kind=BreakKind.TOLD_LOCKED,
                asset=p.asset,
                expected=by_postings.locked,
                found=p.locked,
                what="the locked balances are not the locks that were posted and not ended",
            )


def of_accounts(page: Iterable[Holding], kept: Iterable[Holding]) -> Iterator[Found]:
    """Each balance of a page against what was posted to it; rows that only one side has count as
    zero on the other."""
    held = {(row.account, row.asset): row for row in page}
    told = {(row.account, row.asset): row for row in kept}
    for account, asset in sorted(held.keys() | told.keys()):
        nothing = Holding(account=account, asset=asset, available=0, locked=0)
        have = held.get((account, asset), nothing)
        should = told.get((account, asset), nothing)
        for kind, expected, found in (
            (BreakKind.AVAILABLE, should.available, have.available),
            (BreakKind.LOCKED, should.locked, have.locked),
        ):
            if expected != found:
                yield Found(
                    kind=kind,
                    asset=asset,
                    account=account,
                    expected=expected,
                    found=found,
                    what=f"the {kind} balance is not what was posted to it",
                )
