"""The state tables of a ledger against its postings: balances, contracts, operations, and more."""

from collections.abc import Sequence
from typing import Any, Final

from gateway.audit.databases import Snapshot, portions
from gateway.audit.findings import Check, Notebook
from htlc import invariants
from htlc.contract import Htlc
from htlc.invariants import Holding
from htlc.units import AccountId, AssetId, LedgerId
from ledgers import rows
from ledgers.book import Effect, Kind
from ledgers.replay import Replay

COMPARED_AT_ONCE: Final = 1_000
"""Rows of one look-up by id."""

Noted = tuple[Effect, int, int]
"""An effect, and the block and position of its posting."""


class Tables:
    """Compares tables of one ledger with what its replay says they hold."""

    def __init__(self, snapshot: Snapshot, notebook: Notebook, replay: Replay) -> None:
        self._snapshot = snapshot
        self._notebook = notebook
        self._replay = replay
        self._ended: list[Noted] = []
        self._done: list[Noted] = []

    def _find(self, check: Check, what: str, **place: object) -> None:
        name = self._snapshot.name
        self._notebook.find(name, check, what, ledger=name, **place)

    def _count(self, check: Check, number: int = 1) -> None:
        self._notebook.count(self._snapshot.name, check, number)

    def note(self, effect: Effect, block: int, posting: int) -> None:
        """A posting that ended a contract, or moved something without one."""
        (self._ended if effect.htlc else self._done).append((effect, block, posting))

    async def compare(self) -> None:
        """Look up what has been noted, once it is worth a query."""
        if len(self._ended) + len(self._done) >= COMPARED_AT_ONCE:
            await self._compare()

    async def _compare(self) -> None:
        for part in portions(self._ended, COMPARED_AT_ONCE):
            noted = [(effect.htlc, {"block": b, "posting": p}) for effect, b, p in part]
            await self._contracts(noted)
        for part in portions(self._done, COMPARED_AT_ONCE):
            await self._operations(part)
        self._ended.clear()
        self._done.clear()

    async def finish(self) -> None:
        """Everything that can be said once the last posting is read."""
        await self._compare()
        for part in portions(list(self._replay.open.values()), COMPARED_AT_ONCE):
            await self._contracts([(htlc, {}) for htlc in part])
        await self._totals()
        await self._balances()
        await self._conservation()
        await self._statements()

    # --- contracts and operations ----------------------------------------------------------------

    async def _contracts(self, expected: Sequence[tuple[Htlc | None, dict[str, Any]]]) -> None:
        wanted = [htlc for htlc, _ in expected if htlc is not None]
        found = await self._snapshot.fetch("contracts", [htlc.terms.id for htlc in wanted])
        held = {str(row["id"]): row for row in found}
        for htlc, place in expected:
            assert htlc is not None, "an effect on a contract has one"
            self._count(Check.CONTRACT)
            for what in _contract_faults(htlc, held.get(htlc.terms.id)):
                settlement = htlc.terms.settlement
                what = f"contract {htlc.terms.id} (leg {htlc.terms.leg}): {what}"
                self._find(Check.CONTRACT, what, settlement=settlement, **place)

    async def _operations(self, expected: Sequence[Noted]) -> None:
        found = await self._snapshot.fetch("operations", [effect.id for effect, _, _ in expected])
        held = {row["id"]: row["digest"] for row in found}
        for effect, block, posting in expected:
            self._count(Check.OPERATION)
            if held.get(effect.id) != effect.digest:
                seen = held[effect.id].hex() if effect.id in held else "none"
                what = f"{effect.kind} {effect.id}: expected digest {effect.digest.hex()}"
                self._find(Check.OPERATION, f"{what}, found {seen}", block=block, posting=posting)

    async def _totals(self) -> None:
        """Rows that no posting explains show in the counts; only then they are looked for."""
        kinds = self._replay.kinds
        counts = await self._snapshot.row("counts")
        operations = kinds[Kind.ISSUE] + kinds[Kind.REDEEM] + kinds[Kind.TRANSFER]
        if (counts["contracts"], counts["operations"]) == (kinds[Kind.LOCK], operations):
            return
        for query, check, posted, held in (
            ("unposted_contracts", Check.CONTRACT, kinds[Kind.LOCK], counts["contracts"]),
            ("unposted_operations", Check.OPERATION, operations, counts["operations"]),
        ):
            unposted = await self._snapshot.attempt(query)
            if unposted is None and posted != held:  # a posting cannot be read: named already
                self._find(check, f"expected {posted} rows, as were posted, found {held}")
            for row in unposted or ():
                self._find(check, f"{row['id']}: expected a posting that made it, there is none")
        await self._repeated()

    async def _repeated(self) -> None:
        for row in await self._snapshot.attempt("repeated") or ():
            effects = [
                invariants.Effect(ledger=LedgerId(self._snapshot.name), id=row["id"], kind=kind)
                for kind in row["ops"]
            ]
            for violation in invariants.once(effects):
                self._find(
                    Check.ONCE,
                    f"expected once: {violation.what}",
                    block=row["heights"][-1],
                    posting=row["positions"][-1],
                )

    # --- balances --------------------------------------------------------------------------------

    async def _balances(self) -> None:
        expected = self._replay.balances
        async for row in self._snapshot.stream("balances"):
            self._count(Check.BALANCE)
            key = (AccountId(row["account"]), AssetId(row["asset"]))
            sums = tuple(expected.pop(key, (0, 0)))
            if (row["available"], row["locked"]) != sums:
                found = f"{row['available']} available and {row['locked']} locked"
                self._unequal(key, sums, found)
        for key, left in expected.items():
            if any(left):
                self._unequal(key, tuple(left), "no row")

    def _unequal(self, key: tuple[AccountId, AssetId], sums: Sequence[int], found: str) -> None:
        what = f"expected {sums[0]} available and {sums[1]} locked, found {found}"
        self._find(Check.BALANCE, f"account {key[0]} {key[1]}: {what}")

    async def _conservation(self) -> None:
        found = await self._snapshot.fetch("conservation")
        self._count(Check.CONSERVATION, len({row["asset"] for row in found}))
        holdings = [
            Holding(
                ledger=LedgerId(self._snapshot.name),
                asset=AssetId(row["asset"]),
                account=AccountId(row["account"] or "all holders"),
                available=int(row["available"]),
                locked=int(row["locked"]),
                counter=row["counter"],
            )
            for row in found
        ]
        for violation in invariants.conserved(holdings):
            self._find(Check.CONSERVATION, f"expected none: {violation.what}")

    # --- statements ------------------------------------------------------------------------------

    async def _statements(self) -> None:
        expected = self._replay.movements
        async for row in self._snapshot.stream("statements"):
            self._count(Check.STATEMENT)
            wanted = expected.pop(AccountId(row["account"]), 0)
            if row["postings"] != wanted:
                what = f"expected {wanted} postings in its statement, found {row['postings']}"
                self._find(Check.STATEMENT, f"account {row['account']}: {what}")
        for account, wanted in expected.items():
            what = f"expected {wanted} postings in its statement, found none"
            self._find(Check.STATEMENT, f"account {account}: {what}")


def _contract_faults(expected: Htlc, row: rows.Row | None) -> list[str]:
    if row is None:
        return [f"expected {expected.status}, there is no row"]
    try:
        found = rows.htlc(row)
    except (KeyError, ValueError) as error:
        return [f"expected a contract, its row makes none: {error}"]
    if found == expected:
        return []
    return [
        f"expected {name} {_text(wanted)}, found {_text(held)}"
        for name, wanted, held in _fields(expected, found)
        if wanted != held
    ]


def _fields(expected: Htlc, found: Htlc) -> list[tuple[str, object, object]]:
    names = ("status", "locked_at", "ended_at", "key")
    terms = expected.terms.__struct_fields__
    return [(name, getattr(expected, name), getattr(found, name)) for name in names] + [
        (name, getattr(expected.terms, name), getattr(found.terms, name)) for name in terms
    ]


def _text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
