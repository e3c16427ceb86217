"""The PostgreSQL side of one batch: lock the head, load what the batch touches, write what changed.

Everything is set-based: the number of statements does not depend on the number of operations.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from htlc.contract import Htlc
from htlc.units import AccountId, AssetId, HtlcId, Instant
from ledgers import rows
from ledgers.administration import (
    Act,
    DefineInstrument,
    GrantMandate,
    Record,
    RevokeMandate,
)
from ledgers.block import Block
from ledgers.book import Book, Effect, Kind
from ledgers.names import is_name, is_uuid
from ledgers.parties import Balance, Principal
from ledgers.port import Issue, Lock, Operation, Redeem, Transfer
from ledgers.queries import named_queries

MIGRATIONS: Final = Path(__file__).parent / "migrations"
QUERIES: Final = named_queries(Path(__file__).parent / "queries.sql")

BalanceKey = tuple[AccountId, AssetId]
Balances = Mapping[BalanceKey, Balance | None]


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Where the ledger stands; the two hashes name its whole state."""

    ledger: str
    height: int
    hash: bytes
    clock: Instant
    administration: bytes


class Session:
    """One connection with its prepared statements, which stay for as long as it lives."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self._prepared: dict[str, Any] = {}

    async def fetch(self, name: str, *values: Any) -> list[rows.Row]:
        """Run a named query."""
        statement = self._prepared.get(name)
        if statement is None:
            statement = self._prepared[name] = await self.connection.prepare(QUERIES[name])
        found: list[rows.Row] = await statement.fetch(*values)
        return found

    @property
    def is_alive(self) -> bool:
        """Whether the server has not been seen to hang up."""
        return not self.connection.is_closed()

    async def begin(self) -> Head:
        """Begin a batch: alone on this ledger until commit or rollback."""
        await self.connection.execute(QUERIES["begin"])
        found = await self.fetch("head")
        assert len(found) == 1, "the head is created before the first batch"
        return Head(**found[0])

    async def commit(self) -> None:
        told = await self.connection.execute("COMMIT")
        assert told == "COMMIT", "a failed transaction raises before its commit"


class Needs:
    """The rows that a batch touches, by their keys."""

    def __init__(self) -> None:
        self.accounts: set[AccountId] = set()
        self.mandates: set[tuple[AccountId, str]] = set()
        self.balances: set[BalanceKey] = set()
        self.contracts: set[HtlcId] = set()
        self.locks: set[HtlcId] = set()  # the contracts that are to be made
        self.operations: set[str] = set()

    def add_operations(self, book: Book, by: Principal, operations: Iterable[Operation]) -> None:
        for operation in operations:
            match operation:
                case Lock():
                    terms = operation.terms
                    self.locks.add(terms.id)
                    self.mandates.add((terms.payer, by.name))
                    self._add_entry(terms.payer, terms.payee, terms.asset)
                case Transfer(id=id, debit=debit, credit=credit, asset=asset):
                    self.operations.add(id)
                    self.mandates.add((debit, by.name))
                    self._add_entry(debit, credit, asset)
                case (
                    Issue(id=id, account=account, asset=asset)
                    | Redeem(id=id, account=account, asset=asset)
                ):
                    self.operations.add(id)
                    self.accounts.add(account)
                    self.balances.add((account, asset))
                    if asset in book.instruments:
                        self.balances.add((book.instruments[asset].counter, asset))
                case _:
                    self.contracts.add(operation.id)

    def add_act(self, act: Act) -> None:
        match act:
            case DefineInstrument(instrument=instrument):
                self.accounts.add(instrument.counter)
            case GrantMandate(mandate=mandate):
                self.accounts.add(mandate.account)
                self.mandates.add((mandate.account, mandate.operator))
            case RevokeMandate(account=account, operator=operator):
                self.accounts.add(account)
                self.mandates.add((account, operator))
            case _:
                self.accounts.add(act.account)

    def _add_entry(self, debit: AccountId, credit: AccountId, asset: AssetId) -> None:
        self.accounts.add(debit)
        self.accounts.add(credit)
        self.balances.add((debit, asset))
        self.balances.add((credit, asset))

    def add_contract(self, contract: Htlc | None) -> None:
        """What ending the contract will touch."""
        if contract is not None:
            terms = contract.terms
            self.balances.add((terms.payer, terms.asset))
            self.balances.add((terms.payee, terms.asset))


async def load(session: Session, book: Book, needs: Needs) -> None:
    """Bring into the book what the batch needs and the book has not: absent rows as None.

    Keys that are not spelled as keys are never sent: no such row can exist."""
    await load_contracts(session, book, needs.contracts)
    for id in needs.contracts:
        needs.add_contract(book.contracts[id])
    await _load_accounts(session, book, needs)
    await _load_mandates(session, book, needs)
    await _load_balances(session, book, needs)
    await _load_operations(session, book, needs)


async def load_contracts(session: Session, book: Book, ids: Iterable[HtlcId]) -> None:
    """Bring contracts into the book as far as it has not looked for them."""
    missing = [key for key in ids if key not in book.contracts]
    book.contracts.update(dict.fromkeys(missing))
    if wanted := [id for id in missing if is_uuid(id)]:
        for row in await session.fetch("load_contracts", wanted):
            contract = rows.htlc(row)
            book.contracts[contract.terms.id] = contract


async def _load_accounts(session: Session, book: Book, needs: Needs) -> None:
    missing = [key for key in needs.accounts if key not in book.accounts]
    book.accounts.update(dict.fromkeys(missing))
    if wanted := [id for id in missing if is_name(id)]:
        for row in await session.fetch("load_accounts", wanted):
            book.accounts[row["id"]] = rows.account(row)


async def _load_mandates(session: Session, book: Book, needs: Needs) -> None:
    missing = [key for key in needs.mandates if key not in book.mandates]
    book.mandates.update(dict.fromkeys(missing))
    if wanted := [key for key in missing if is_name(key[0]) and is_name(key[1])]:
        for row in await session.fetch("load_mandates", *rows.columns(wanted, 2)):
            book.mandates[row["account"], row["operator"]] = rows.mandate(row)


async def _load_balances(session: Session, book: Book, needs: Needs) -> None:
    missing = [key for key in needs.balances if key not in book.balances]
    book.balances.update(dict.fromkeys(missing))
    if wanted := [key for key in missing if is_name(key[0]) and is_name(key[1])]:
        for row in await session.fetch("load_balances", *rows.columns(wanted, 2)):
            balance = Balance(row["available"], row["locked"])
            book.balances[row["account"], row["asset"]] = balance


async def _load_operations(session: Session, book: Book, needs: Needs) -> None:
    missing = [key for key in needs.operations if key not in book.operations]
    book.operations.update(dict.fromkeys(missing))
    if wanted := [id for id in missing if is_name(id)]:
        for row in await session.fetch("load_operations", wanted):
            book.operations[row["id"]] = row["digest"]


async def load_instruments(session: Session, book: Book) -> None:
    """All of them: they are few, and an operation on an unknown one must be told."""
    found = [rows.instrument(row) for row in await session.fetch("load_instruments")]
    book.instruments.update({instrument.asset: instrument for instrument in found})


# --- writing -------------------------------------------------------------------------------------


async def write_batch(
    session: Session,
    block: Block,
    effects: Sequence[Effect],
    book: Book,
    before: Balances,
    administration: bytes,
) -> bool:
    """Write what `effects` changed, with their block: the balances of the book, where they were
    others before. False, and nothing is written, if the head is not any more as the block continues
    it."""
    touched, changed = _touched_rows(effects, book, before)
    made, ended = _contract_rows(effects)
    header = block.header
    [counted] = await session.fetch(
        "write_batch",
        touched,
        made,
        ended,
        [(effect.id, effect.digest) for effect in effects if effect.htlc is None],
        block.leaves,
        header.height,
        header.previous,
        header.root,
        header.count,
        header.at,
        block.hash,
        block.signature,
        administration,
    )
    if not counted["advanced"]:
        return False
    assert counted["debited"] == changed, "every balance that was loaded is still there"
    assert counted["ended"] == len(ended), "every contract that was open is still open"
    return True


async def write_clock(session: Session, head: Head, at: Instant) -> bool:
    """Write the time alone; False if the head is not any more as given."""
    return bool(await session.fetch("write_clock", at, head.hash, head.administration))


def _touched_rows(
    effects: Sequence[Effect], book: Book, before: Balances
) -> tuple[list[tuple[Any, ...]], int]:
    """One row per balance that `effects` moved, and how many rows of the table they change. The
    first balance of an account has the places of its postings: there is one such row per account
    and block."""
    positions = _positions(effects)
    touched, changed = [], 0
    for key, was in before.items():
        now = book.balances[key]
        if now is was or now is None:
            continue
        account, asset = key
        places = positions.pop(account, None)
        text = None if places is None else f"{{{','.join(map(str, places))}}}"
        if was is None:
            touched.append((account, asset, True, now.available, now.locked, text))
        else:
            available, locked = now.available - was.available, now.locked - was.locked
            touched.append((account, asset, False, available, locked, text))
            changed += available != 0 or locked != 0
    assert not positions, "what is moved was looked for"
    return touched, changed


def _contract_rows(
    effects: Iterable[Effect],
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """New contracts as they ended up, and how older ones ended."""
    made: dict[str, Htlc] = {}
    ended = []
    for effect in effects:
        if effect.htlc is None:
            continue
        if effect.kind is Kind.LOCK or effect.id in made:
            made[effect.id] = effect.htlc
        else:
            htlc = effect.htlc
            ended.append((htlc.terms.id, htlc.status, htlc.ended_at, htlc.key))
    return [rows.contract_values(htlc) for htlc in made.values()], ended


def movement_rows(effects: Iterable[Effect], height: int) -> list[tuple[Any, ...]]:
    """Which postings of the block belong to each account."""
    return [(account, height, found) for account, found in _positions(effects).items()]


def _positions(effects: Iterable[Effect]) -> dict[AccountId, list[int]]:
    positions: dict[AccountId, list[int]] = defaultdict(list)
    for position, effect in enumerate(effects):
        debit, credit = effect.debit, effect.credit
        positions[debit].append(position)
        if credit != debit:
            positions[credit].append(position)
    return positions


async def write_act(session: Session, book: Book, act: Act) -> None:
    """Write one act of administration as the book has it now."""
    match act:
        case DefineInstrument(instrument=i):
            await session.fetch(
                "put_instrument", i.asset, i.name, i.scale, i.quantity_type, i.issuer, i.counter
            )
        case GrantMandate(mandate=m):
            await session.fetch("put_mandate", m.account, m.operator, m.limit, m.until)
        case RevokeMandate(account=account, operator=operator):
            await session.fetch("delete_mandate", account, operator)
        case _:
            account_row = book.accounts[act.account]
            assert account_row is not None, "an act that changed an account leaves it there"
            await session.fetch(
                "put_account", account_row.id, account_row.owner, account_row.blocked
            )


async def write_record(session: Session, record: Record) -> bytes:
    """Append to the log of administration; returns the hash of the line."""
    line_hash = record.hash()
    act = msgspec.json.encode(record.act).decode()
    await session.fetch("put_record", record.at, record.by, act, record.previous, line_hash)
    return line_hash
