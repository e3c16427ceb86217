"""Business days of what is instructed: the calendars of the ledgers that a pair settles on."""

from collections.abc import Callable
from datetime import date

from gateway.calendars import Calendars, Day
from gateway.directory import Directory
from gateway.pairs import MatchedPair
from protocols.iso20022.fx import FxTrade
from protocols.iso20022.instruction import SettlementInstruction

_Assets = tuple[str | None, str, str | None]
"""A security and the currency that is paid for it, or no security and two currencies."""


class Days:
    """Calendars asked with pairs and instructions instead of ledgers, and with the clock."""

    def __init__(self, calendars: Calendars, directory: Directory, now: Callable[[], int]) -> None:
        self._calendars = calendars
        self._directory = directory
        self._known: dict[_Assets, frozenset[str]] = {}
        self.now = now

    def today(self) -> date:
        """The business date where no ledger is asked about: set by hand, or the day in UTC."""
        return self._calendars.business_date(self.now())

    def accepts(self, ledger: str, day: date) -> bool:
        """Whether an instruction may name this settlement date (`rules.Calendar`)."""
        return self._calendars.accepts(ledger, day, self.now())

    def current(self, about: SettlementInstruction | FxTrade) -> Day:
        """The business day that is open now on both ledgers, or the next one to open."""
        return self._calendars.current(self._ledgers(about), self.now())

    def is_open(self, pair: MatchedPair) -> bool:
        """Whether a pair can settle now: its date has come, and both ledgers settle."""
        day = self.current(pair.instruction)
        return pair.settlement_date <= day.date and day.is_open(self.now())

    def is_stopped(self, pair: MatchedPair) -> bool:
        """A break of reconciliation is open on what it moves: nothing new is locked."""
        return self._directory.is_pair_stopped(pair)

    def window(self, pair: MatchedPair) -> Day | None:
        """The pair's own settlement date; None if that is no business day."""
        return self._calendars.on(self._ledgers(pair.instruction), pair.settlement_date)

    def late(self, instruction: SettlementInstruction) -> bool:
        """Whether it came after the cut-off of its date: it settles on the next business day."""
        day = self.current(instruction)
        return instruction.settlement_date < day.date and not day.is_open(self.now())

    def elapsed(self, about: SettlementInstruction | FxTrade, since: date) -> int:
        """Business days that have begun since a day, up to the one that is open or next to open."""
        return self._calendars.elapsed(self._ledgers(about), since, self.current(about).date)

    def _ledgers(self, about: SettlementInstruction | FxTrade) -> frozenset[str]:
        """Where it settles, as far as reference data tells. Kept, for it is asked several times for
        each pair, and a ledger keeps what it keeps."""
        if isinstance(about, FxTrade):
            key: _Assets = (None, about.sells.currency, about.buys.currency)
        else:
            key = (about.isin, about.currency or "", None)
        known = self._known.get(key)
        return self._find(key) if known is None else known

    def _find(self, key: _Assets) -> frozenset[str]:
        isin, *currencies = key
        kinds = [("securities", isin), *(("currency", code) for code in currencies)]
        wanted = [(kind, asset) for kind, asset in kinds if asset is not None]
        found = frozenset(
            name for kind, asset in wanted if (name := self._directory.keeper(kind, asset))
        )
        if len(found) == len(wanted):
            self._known[key] = found
        return found
