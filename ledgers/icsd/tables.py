"""Rows of a registry node's database to structs and back: what steps write and a start reads."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from htlc.units import AccountId, AssetId, HtlcId
from ledgers import rows
from ledgers.block import Block, Seal, leaf
from ledgers.book import Effect
from ledgers.hosted import BATCH_MAX
from ledgers.icsd.block import Block as NetworkBlock
from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.rows import Homed, Place, Rows
from ledgers.parties import Balance
from ledgers.store import movement_rows

TABLES: Final = (
    *("accounts", "instruments", "mandates", "balances"),
    *("omnibus", "contracts", "operations", "sequences"),
)
"""The book of the network, in the order of the parameters of `write_step`."""

NO_BALANCE: Final = Balance()
"""A row that says as much as none."""

KEYS: Final = {
    "accounts": ("id",),
    "instruments": ("asset",),
    "mandates": ("account", "operator"),
    "balances": ("account", "asset"),
    "omnibus": ("asset", "registry"),
    "contracts": ("id",),
    "operations": ("id",),
    "sequences": ("registry",),
}
"""The columns that tell one row of a table from another."""

Values = list[tuple[Any, ...]]


class Sealed(msgspec.Struct, frozen=True):
    """A block of the ordinary chain with the entries that its leaves are made of."""

    block: Block
    effects: Sequence[Effect]


def sealed(seal: Seal, height: int, previous: bytes, final: Sequence[NetworkBlock]) -> list[Sealed]:
    """The blocks of the ordinary chain that follow from final ones: the same on every node but for
    the signature. `height` and `previous` are of the last one before."""
    made = []
    for block in final:
        for start in range(0, len(block.effects), BATCH_MAX):
            effects = block.effects[start : start + BATCH_MAX]
            one = seal.block(height + 1, previous, [leaf(effect) for effect in effects])
            made.append(Sealed(one, effects))
            height, previous = one.header.height, one.hash
    return made


def merged(changes: Sequence[Rows]) -> Rows:
    """The rows that blocks left, oldest first: each as the last of them left it."""
    [*before, last] = changes
    if not before:
        return last
    return Rows(
        place=last.place,
        **{name: _merged(getattr(part, name) for part in changes) for name in TABLES},
    )


def _merged(parts: Iterable[dict[Any, Any]]) -> dict[Any, Any]:
    whole: dict[Any, Any] = {}
    for part in parts:
        whole.update(part)
    return whole


def book_values(changed: Rows) -> list[Values]:
    """The rows of each table, in the order of `TABLES`."""
    return [
        [
            (h.account.id, h.account.owner, h.account.blocked, h.home)
            for h in _there(changed.accounts)
        ],
        [
            (i.asset, i.name, i.scale, i.quantity_type, i.issuer, i.counter)
            for i in _there(changed.instruments)
        ],
        [(m.account, m.operator, m.limit, m.until) for m in _there(changed.mandates)],
        [(*key, b.available, b.locked) for key, b in changed.balances.items() if b is not None],
        [(*key, quantity) for key, quantity in changed.omnibus.items()],
        [rows.contract_values(htlc) for htlc in _there(changed.contracts)],
        [(id, *done) for id, done in changed.operations.items() if done is not None],
        [(name, *last) for name, last in changed.sequences.items()],
    ]


def _there(found: Mapping[Any, Any]) -> list[Any]:
    return [row for row in found.values() if row is not None]


def gone_mandates(changed: Rows) -> list[Sequence[Any]]:
    """Accounts and operators of the mandates that are not there any more, as two columns. Nothing
    else of the book is ever taken away."""
    return rows.columns([key for key, row in changed.mandates.items() if row is None], 2)


def chain_values(sealed: Iterable[Sealed]) -> list[Values]:
    """Blocks, postings and movements of the ordinary chain."""
    blocks: Values = []
    postings: Values = []
    movements: Values = []
    for one in sealed:
        block, header = one.block, one.block.header
        blocks.append(
            (
                *(header.height, header.previous, header.root, header.count, header.at),
                *(block.hash, block.signature),
            )
        )
        postings += [(header.height, place, leaf) for place, leaf in enumerate(block.leaves)]
        movements += movement_rows(one.effects, header.height)
    return [blocks, postings, movements]


def book(place: Place, found: Mapping[str, Iterable[rows.Row]]) -> Rows:
    """All rows of a database, by the names of their tables."""
    return Rows(
        place=place,
        accounts={
            row["id"]: Homed(account=rows.account(row), home=row["home"])
            for row in found["accounts"]
        },
        instruments={row["asset"]: rows.instrument(row) for row in found["instruments"]},
        mandates={
            (row["account"], row["operator"]): rows.mandate(row) for row in found["mandates"]
        },
        balances={
            (AccountId(row["account"]), AssetId(row["asset"])): Balance(
                row["available"], row["locked"]
            )
            for row in found["balances"]
        },
        omnibus={
            (AssetId(row["asset"]), RegistryId(row["registry"])): row["quantity"]
            for row in found["omnibus"]
        },
        contracts={HtlcId(str(row["id"])): rows.htlc(row) for row in found["contracts"]},
        operations={row["id"]: (row["digest"], row["height"]) for row in found["operations"]},
        sequences={row["registry"]: (row["sequence"], row["hash"]) for row in found["sequences"]},
    )
