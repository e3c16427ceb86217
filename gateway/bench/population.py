"""Many accounts on a ledger: opened, and each with something in it, as its operator and issuers
would have done it: lines in the log of administration, issues in signed blocks.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.bench.history import QUERIES, write_blocks
from gateway.sql import Connection
from htlc.units import AccountId, AssetId, Instant, Quantity
from ledgers.administration import OpenAccount, Record
from ledgers.block import Seal, leaf
from ledgers.book import Effect, Kind
from ledgers.port import Issue
from ledgers.store import movement_rows
from ledgers.wire import operation_digest

BLOCK: Final = 1000
"""Accounts that are opened and filled at a time: half of what a ledger takes in one batch."""

UNITS: Final = Quantity(10_000)
"""Of its asset, on each account."""

OWNERS: Final = 1000
"""Custodians and other members that the accounts belong to."""

_INSTRUMENTS: Final = "SELECT asset, issuer, counter FROM instruments ORDER BY asset"
_OPERATOR: Final = "SELECT by FROM administration WHERE act->>'type' = 'open-account' LIMIT 1"
_HEAD: Final = "SELECT clock, administration FROM head"
_ADMINISTERED: Final = "UPDATE head SET administration = $1"
_ISSUED: Final = (
    "UPDATE balances SET available = available - $3 WHERE account = $1 AND asset = $2 AND counter"
)


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """An asset, who issues it, and the account that stands at minus what is issued."""

    asset: AssetId
    issuer: str
    counter: AccountId


async def populate(connection: Connection, seal: Seal, accounts: int) -> None:
    """Open so many, each with a little of one asset. Nobody may use the ledger meanwhile."""
    instruments = [
        Instrument(asset=row["asset"], issuer=row["issuer"], counter=row["counter"])
        for row in await connection.fetch(_INSTRUMENTS)
    ]
    operator = await connection.fetchval(_OPERATOR)
    for start in range(0, accounts, BLOCK):
        numbers = range(start, min(start + BLOCK, accounts))
        ids = [AccountId(f"CUSTOMER-{number:09d}") for number in numbers]
        instrument = instruments[start // BLOCK % len(instruments)]
        async with connection.transaction():
            await _open(connection, operator, ids)
            await _issue(connection, seal, instrument, ids)


async def _open(connection: Connection, operator: str, ids: Sequence[AccountId]) -> None:
    head = await connection.fetchrow(_HEAD)
    assert head is not None, "every ledger has a head"
    at, previous = Instant(head["clock"]), head["administration"]
    owners, lines = [], []
    for id in ids:
        owner = f"OWNER-{int(id[-9:]) % OWNERS:04d}"
        record = Record(
            at=at, by=operator, act=OpenAccount(account=id, owner=owner), previous=previous
        )
        line = record.hash()
        act = msgspec.json.encode(record.act).decode()
        lines.append((at, operator, act, previous, line))
        owners.append((id, owner, False))
        previous = line
    await connection.copy_records_to_table(
        "accounts", records=owners, columns=("id", "owner", "blocked")
    )
    await connection.copy_records_to_table(
        "administration", records=lines, columns=("at", "by", "act", "previous", "hash")
    )
    await connection.execute(_ADMINISTERED, previous)


async def _issue(
    connection: Connection, seal: Seal, instrument: Instrument, ids: Sequence[AccountId]
) -> None:
    """What the issuer has issued to each account, in one block."""
    head = await connection.fetchrow(QUERIES["last_block"])
    assert head is not None, "every ledger has a head"
    at = Instant(await connection.fetchval("SELECT clock FROM head"))
    effects = [_effect(instrument, id, at) for id in ids]
    block = seal.block(head["height"] + 1, head["hash"], [leaf(effect) for effect in effects])
    await write_blocks(connection, [block], head["height"])
    await connection.copy_records_to_table(
        "operations",
        records=[(effect.id, effect.digest) for effect in effects],
        columns=("id", "digest"),
    )
    await connection.copy_records_to_table(
        "movements",
        records=movement_rows(effects, block.header.height),
        columns=("account", "height", "positions"),
    )
    await connection.copy_records_to_table(
        "balances",
        records=[(id, instrument.asset, UNITS, 0) for id in ids],
        columns=("account", "asset", "available", "locked"),
    )
    issued = UNITS * len(ids)
    await connection.execute(_ISSUED, instrument.counter, instrument.asset, issued)


def _effect(instrument: Instrument, account: AccountId, at: Instant) -> Effect:
    issue = Issue(id=f"opening-{account}", account=account, asset=instrument.asset, quantity=UNITS)
    return Effect(
        kind=Kind.ISSUE,
        id=issue.id,
        by=instrument.issuer,
        at=at,
        debit=instrument.counter,
        credit=account,
        asset=instrument.asset,
        quantity=UNITS,
        digest=operation_digest(issue),
    )
