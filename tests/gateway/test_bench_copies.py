"""Rows copied with new ids: every form of an id follows, and nothing else changes."""

from gateway.bench.copies import Renaming, Rows
from gateway.ids import as_version_4, new_id
from htlc.agreement import htlc_id
from htlc.units import LegId, SettlementId

SETTLEMENT = "01a209aa-8b50-72ef-84a1-d58eb27ea23c"
TRADE = "01a209aa8e9775b797a62ef8c55a9fbd"
LOCK = htlc_id(SettlementId(SETTLEMENT), LegId("CASH"))
DIGEST = "6e" * 16 + "01a209aa8e9775b797a62ef8c55a9fbd"  # 64 digits: no id, whatever is in it
ROW = (
    f'{SETTLEMENT}\t@BNMADEF0XXX:3@\t{{"id":"{SETTLEMENT}","contract":"{LOCK}",'
    f'"uetr":"{as_version_4(SETTLEMENT)}","message":"{TRADE}D","key":"{DIGEST}","quantity":7}}\n'
)


def test_every_form_of_an_id_follows_and_nothing_else_changes() -> None:
    rows = Rows(ROW.encode())
    renaming = Renaming(rows.places, [(LOCK, SETTLEMENT, "CASH")])
    names = renaming.names()
    copy = rows.copy({**names, b"@BNMADEF0XXX:3@": b"1003"}).decode()
    new, trade = names[SETTLEMENT.encode()].decode(), names[TRADE.encode()].decode()
    assert new != SETTLEMENT and len(trade) == 32 and trade != TRADE
    assert copy == (
        f'{new}\t1003\t{{"id":"{new}","contract":"{htlc_id(SettlementId(new), LegId("CASH"))}",'
        f'"uetr":"{as_version_4(new)}","message":"{trade}D","key":"{DIGEST}","quantity":7}}\n'
    )
    assert rows.copy({}) == ROW.encode()


def test_each_copy_has_ids_of_its_own_and_later_ones() -> None:
    rows = Rows(ROW.encode())
    renaming = Renaming(rows.places, [(LOCK, SETTLEMENT, "CASH")])
    before = new_id()
    one, other = renaming.names(), renaming.names()
    assert one.keys() == other.keys() >= rows.places - {b"@BNMADEF0XXX:3@"}
    assert set(one.values()).isdisjoint(other.values())
    assert all(name.decode()[:8] >= before[:8] for name in one.values())
