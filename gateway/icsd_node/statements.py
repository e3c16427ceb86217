"""Statements of a registry's members: the gateway's, of the accounts that the book has by then."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date

from gateway.calendars import Calendars
from gateway.icsd_node.books import NodeBooks, NodeDirectory, NodeReferences
from gateway.icsd_node.settings import MessageSettings
from gateway.port import Busy, Denied, Refused, StatementMade, StatementWanted
from gateway.sql import Pool
from gateway.statements.service import Begins, Statements
from gateway.telemetry.logs import Say
from ledgers.icsd.hosted import RegistryLedger
from ledgers.parties import Principal
from ledgers.port import LedgerUnreachable
from protocols.iso20022.lexical import bic11


class NodeStatements(Statements):
    """Reads before anything is made which accounts there are. `members` are by their BIC of eleven
    characters, `bic` is the registry's."""

    def __init__(
        self,
        ledger: RegistryLedger,
        pool: Pool,
        members: Mapping[str, Principal],
        bic: str,
        settings: MessageSettings,
        *,
        now: Callable[[], int],
        delivered: Callable[[Iterable[str]], None],
        say: Say,
    ) -> None:
        self._node, name = ledger.node, ledger.seal.ledger
        self._known = NodeDirectory(ledger, members, bic)
        super().__init__(
            pool,
            self._known,
            Calendars({name: settings.calendar}, None),
            {name: NodeBooks(ledger)},
            references=lambda member: NodeReferences(pool, members[member]),
            daily=settings.statements.daily,
            now=now,
            learned=lambda: None,
            delivered=delivered,
            say=say,
        )

    async def state(
        self, member: str, wanted: StatementWanted
    ) -> Sequence[StatementMade] | Refused | Denied | Busy:
        try:
            await self._known.refresh([bic11(member)])
        except LedgerUnreachable:
            return Busy()
        return await super().state(member, wanted)

    async def begins(self, ledger: str, at: int, day: date) -> Begins:
        """Not before the snapshot by which this registry joined: it has no postings of then."""
        own = self._node.head.base_at + 1
        return await super().begins(ledger, max(at, own), day)

    async def make_day(self, ledger: str, day: date) -> None:
        await self._known.refresh(list(self._known.members))
        await super().make_day(ledger, day)
