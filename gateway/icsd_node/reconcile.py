"""A registry's internal book held against the network's, line by line and in all, by proofs.

The internal system says what each account holds; each line is held against a proof of that holding,
and the sum of an instrument's lines against what the network has proved for all holders of the
registry, and the issuer registry for its omnibus account. So a line that differs is found, and an
account that the internal book does not have, without the network's list of accounts being believed.
"""

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.roots import Issuance, Part
from ledgers.parties import Balance
from protocols.iso20022.lexical import units

COLUMNS: Final = ("account", "isin", "quantity")

TRIES: Final = 5
"""Readings of an instrument whose holders have moved while they were asked for one by one."""


class BookFault(Exception):
    """The internal book cannot be read; the text names line, field and rule."""


class Proving(Protocol):
    """A light client at one registry's node; whatever it tells is proved."""

    async def issue(self, isin: str) -> Issuance: ...

    async def balance(self, account: str, isin: str) -> Balance | None:
        """None: the network has no such account."""
        ...


class Break(msgspec.Struct, frozen=True, kw_only=True):
    """A line that does not agree; quantities in smallest units."""

    account: str
    booked: int  # by the internal book
    proved: int | None  # by the network; none where it has no such account


class Reconciled(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument at one registry, in smallest units."""

    isin: str
    issuer: str  # registry
    lines: int
    booked: int  # sum of the lines
    proved: int  # of all holders of the registry
    omnibus: int | None  # account of the registry at the issuer's; none for that one itself
    breaks: tuple[Break, ...] = ()
    is_still: bool = True  # false: holdings moved at every try; breaks may be of different moments

    @property
    def agrees(self) -> bool:
        whole = self.omnibus in (None, self.proved)
        return self.is_still and whole and not self.breaks and self.booked == self.proved


Lines = Mapping[str, int]
"""What each account holds of an instrument."""


def read_book(text: Iterable[str], scales: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """The lines of a CSV file (`account,isin,quantity`, available and locked together) by
    instrument, in smallest units. Raises BookFault."""
    rows = csv.DictReader(text)
    if tuple(rows.fieldnames or ()) != COLUMNS:
        raise BookFault(f"line 1: expected the columns {','.join(COLUMNS)}")
    found: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for row in rows:
        where = f"line {rows.line_num}"
        if None in row or None in row.values():
            raise BookFault(f"{where}: expected {len(COLUMNS)} fields")
        account, isin, quantity = (row[name].strip() for name in COLUMNS)
        if isin not in scales:
            raise BookFault(f"{where}: isin: {isin} is not on this network")
        if account in found[isin]:
            raise BookFault(f"{where}: account: {account} has a line for {isin} already")
        try:
            found[isin][account] = units(quantity, scales[isin])
        except ValueError as error:
            raise BookFault(f"{where}: quantity: {error}") from None
    return dict(found)


async def reconcile(
    client: Proving, registry: RegistryId, isins: Iterable[str], book: Mapping[str, Lines]
) -> list[Reconciled]:
    """Each instrument, in order."""
    return [await _still(client, registry, isin, book.get(isin, {})) for isin in sorted(isins)]


async def _still(client: Proving, registry: RegistryId, isin: str, lines: Lines) -> Reconciled:
    """An instrument as of one moment: no holder at this registry moved between the first proof and
    the last, or their root would be another."""
    before, breaks = await client.issue(isin), list[Break]()
    for _ in range(TRIES):
        breaks = await _breaks(client, isin, lines)
        after = await client.issue(isin)
        if _part(after, registry) == _part(before, registry):
            return _reconciled(after, registry, lines, breaks, is_still=True)
        before = after
    return _reconciled(before, registry, lines, breaks, is_still=False)


async def _breaks(client: Proving, isin: str, lines: Lines) -> list[Break]:
    found = []
    for account, booked in sorted(lines.items()):
        balance = await client.balance(account, isin)
        proved = None if balance is None else balance.available + balance.locked
        if proved != booked:
            found.append(Break(account=account, booked=booked, proved=proved))
    return found


def _part(issuance: Issuance, registry: RegistryId) -> Part | None:
    return next((part for part in issuance.parts if part.registry == registry), None)


def _reconciled(
    issuance: Issuance,
    registry: RegistryId,
    lines: Lines,
    breaks: Sequence[Break],
    *,
    is_still: bool,
) -> Reconciled:
    part = _part(issuance, registry)
    at_home = issuance.registry == registry
    return Reconciled(
        isin=issuance.asset,
        issuer=issuance.registry,
        lines=len(lines),
        booked=sum(lines.values()),
        proved=0 if part is None else part.held,
        omnibus=None if at_home else 0 if part is None else part.omnibus,
        breaks=tuple(breaks),
        is_still=is_still,
    )
