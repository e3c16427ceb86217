"""What becomes of a batch of foreign exchange trades: refusals, matches, and what all are told.

Pure: what the store knows about the batch is handed in, what is to be written comes out. The order
of a batch is kept; two sides that arrive in one batch find each other in it. A trade that is alone
is told so; one that finds its counterpart at once is told that it is matched and no more.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import msgspec

from gateway.fx_pairs import FxPair, FxSide, status
from gateway.ids import new_id
from gateway.inbound import Arrival, related
from gateway.journal import Notice
from gateway.pairs import notice
from gateway.waiting import Wait
from protocols import fx_matching as matching
from protocols.fx_matching import FxCandidate
from protocols.iso20022.codes import RejectionReason, UnmatchedReason
from protocols.iso20022.fx import FxTrade, TradeStatus
from protocols.matching import MatchKeys, NearMiss


class OpenTrade(msgspec.Struct, frozen=True, kw_only=True):
    """A trade that is not matched yet, with what it was told about that (None: nothing yet)."""

    side: FxSide
    entered_at: int
    keys: MatchKeys
    advised: str | None


class TradeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A trade to be stored: refused ones too, for their reference is used."""

    side: FxSide
    message_id: str
    entered_at: int
    keys: MatchKeys
    pair: str | None
    ended: bool
    advised: str | None


class Trades:
    """The course of one batch. Feed it with `take`, then `tell`, and read the rest."""

    def __init__(
        self, references: Iterable[tuple[str, str]], waiting: Iterable[OpenTrade], now: int
    ) -> None:
        self._now = now
        self._references = set(references)
        self._open: dict[str, OpenTrade] = {}
        self._by_key: defaultdict[bytes, list[str]] = defaultdict(list)
        self._missed: dict[str, UnmatchedReason] = {}
        self._paired: dict[str, FxPair] = {}
        self._rows: dict[str, TradeRow] = {}
        self.pairs: list[FxPair] = []
        self.notices: list[Notice] = []
        for trade in waiting:
            self._wait(trade)

    def _wait(self, trade: OpenTrade) -> None:
        self._open[trade.side.id] = trade
        self._by_key[trade.keys.a].append(trade.side.id)
        self._by_key[trade.keys.b].append(trade.side.id)

    # ------------------------------------------------------------------ in

    def take(self, arrival: Arrival) -> None:
        """Take one trade that is new: refused, matched, or left waiting."""
        trade = arrival.content
        assert isinstance(trade, FxTrade), "dispatched by its family"
        side = FxSide(
            id=new_id(),
            member=arrival.member,
            related=related(arrival.enveloped.header),
            instruction=trade,
            entered_at=arrival.received_at,
        )
        reference = (arrival.member, trade.transaction_id)
        if reference in self._references:
            text = "OrgtrRef: used before by this sender; a new one is needed"
            self._tell(side, TradeStatus.REJECTED, RejectionReason.REFE.value, text)
            return
        self._references.add(reference)
        refusal = arrival.refusal
        if refusal is not None:
            text = f"{refusal.field}: {refusal.rule}"
            self._tell(side, TradeStatus.INVALID, str(refusal.code.value), text)
        self._keep(arrival, side, ended=refusal is not None)

    def _keep(self, arrival: Arrival, side: FxSide, *, ended: bool) -> None:
        keys = matching.keys(side.instruction)
        self._rows[side.id] = TradeRow(
            side=side,
            message_id=arrival.message_id,
            entered_at=arrival.received_at,
            keys=keys,
            pair=None,
            ended=ended,
            advised=None,
        )
        if not ended:
            entered = OpenTrade(side=side, entered_at=arrival.received_at, keys=keys, advised=None)
            self.match(entered)

    def match(self, trade: OpenTrade) -> None:
        """Look for the counterpart of an open trade; it waits where there is none."""
        near = [id for key in (trade.keys.a, trade.keys.b) for id in self._by_key.get(key, ())]
        own = trade.side.id  # it may be known, being stored
        candidates = [
            self._open[id] for id in dict.fromkeys(near) if id in self._open.keys() - {own}
        ]
        found = matching.best(
            trade.side.instruction,
            [
                FxCandidate(id=c.side.id, entered_at=c.entered_at, trade=c.side.instruction)
                for c in candidates
            ],
        )
        if found is None or isinstance(found, NearMiss):
            if found is not None:
                self._missed[trade.side.id] = self._missed[found.id] = found.reason
            self._wait(trade)
            return
        other = self._open.pop(found.id).side
        pair = FxPair.of(new_id(), trade.side, other)
        self._paired[trade.side.id] = self._paired[other.id] = pair
        self.pairs.append(pair)

    # ------------------------------------------------------------------ out

    def tell(self, must_wait: Callable[[FxPair], Wait | None]) -> None:
        """Write the statuses of the batch, now that all of it has been matched."""
        for pair in self.pairs:
            wait = must_wait(pair)
            codes = (None, None) if wait is None else wait.codes
            for side, message in pair.told(TradeStatus.MATCHED, self._now, codes):
                self.notices.append(notice(side, message, self._now))
        for id, trade in self._open.items():
            reason = self._missed.get(id)
            told = self._advised(id)
            if trade.advised is None or (reason is not None and told != trade.advised):
                self._tell(trade.side, TradeStatus.UNMATCHED, reason.value if reason else None)

    def _advised(self, id: str) -> str:
        return str(self._missed.get(id, UnmatchedReason.CMIS).value)

    def _tell(
        self, side: FxSide, what: TradeStatus, code: str | None, text: str | None = None
    ) -> None:
        message = status(side, what, self._now, sub_status=code, text=text)
        self.notices.append(notice(side, message, self._now))

    def rows(self) -> Iterator[TradeRow]:
        """The trades of this batch, to be stored."""
        for id, row in self._rows.items():
            pair = self._paired.get(id)
            advised = None if row.ended else self._advised(id)
            yield msgspec.structs.replace(row, pair=pair.id if pair else None, advised=advised)

    def updates(self) -> Iterator[tuple[str, str | None, str | None]]:
        """Earlier trades that have changed: id, pair, what they were told."""
        for id, pair in self._paired.items():
            if id not in self._rows:
                yield id, pair.id, None
        for id, trade in self._open.items():
            if id not in self._rows and id in self._missed and self._advised(id) != trade.advised:
                yield id, None, self._advised(id)
