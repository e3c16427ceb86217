"""Whatever is damaged on a real system is found, and named."""

from collections.abc import Sequence
from typing import Any

import pytest

from gateway.audit.findings import Check, Finding, Report
from tests.gateway.audit.day import Copy
from tests.gateway.systems import BUYER, SELLER, account

EXECUTED = "convert_from(leaf, 'UTF8')::json ->> 'op' = 'execute'"
SETTLED = (
    "SELECT s.settlement FROM settlement s JOIN journal j USING (settlement) "
    "WHERE j.phase = 'SETTLED' AND s.pair IS NULL ORDER BY s.settlement OFFSET 10 LIMIT 1"
)


def checks(report: Report) -> set[Check]:
    return {finding.check for finding in report.findings}


def of(report: Report, check: Check) -> Sequence[Finding]:
    """The findings of one check; there are some."""
    found = [finding for finding in report.findings if finding.check is check]
    assert found, [finding.line() for finding in report.findings]
    return found


async def executed(copy: Copy, ledger: str) -> Any:
    """A posting that executes something, not the last of its block's chain."""
    return await copy.row(
        ledger,
        f"SELECT * FROM postings WHERE {EXECUTED} ORDER BY height, position OFFSET 5 LIMIT 1",
    )


async def test_a_changed_posting(copy: Copy) -> None:
    row = await executed(copy, "bank")
    place = f"height = {row['height']} AND position = {row['position']}"
    changed = "replace(convert_from(leaf, 'UTF8'), '\"quantity\":\"', '\"quantity\":\"9')"
    await copy.execute(
        "bank", f"UPDATE postings SET leaf = convert_to({changed}, 'UTF8') WHERE {place}"
    )
    report = await copy.audit()
    (root,) = of(report, Check.ROOT)
    assert (root.place.ledger, root.place.block) == ("bank", row["height"])
    assert "expected postings with Merkle root" in root.what
    posting = of(report, Check.POSTING)[0]
    assert (posting.place.block, posting.place.posting) == (row["height"], row["position"])
    assert {account("bank", BUYER), account("bank", SELLER)} == {
        word for f in of(report, Check.BALANCE) for word in f.what.split() if "-0001" in word
    }


@pytest.mark.parametrize("op", ["execute", "lock", "transfer"])
async def test_a_posting_with_a_byte_that_is_no_text(copy: Copy, op: str) -> None:
    place = await copy.row(
        "registry",
        "SELECT height, position FROM postings "
        f"WHERE convert_from(leaf, 'UTF8')::json ->> 'op' = '{op}' ORDER BY height LIMIT 1",
    )
    await copy.execute(
        "registry",
        "UPDATE postings SET leaf = set_byte(leaf, 20, 255) "
        f"WHERE height = {place['height']} AND position = {place['position']}",
    )
    report = await copy.audit()
    (posting,) = [f for f in of(report, Check.POSTING) if f.what.startswith("expected an entry")]
    assert (posting.place.block, posting.place.posting) == (place["height"], place["position"])
    assert of(report, Check.ROOT)
    if op != "execute":
        table = Check.CONTRACT if op == "lock" else Check.OPERATION
        assert any("rows, as were posted, found" in f.what for f in of(report, table))


async def test_a_forged_id_that_no_database_can_look_up(copy: Copy) -> None:
    changed = "replace(convert_from(leaf, 'UTF8'), 'a-transfer', 'a\\u0000transfer')"
    await copy.execute(
        "registry",
        f"UPDATE postings SET leaf = convert_to({changed}, 'UTF8') "
        "WHERE convert_from(leaf, 'UTF8') LIKE '%a-transfer%'",
    )
    report = await copy.audit()
    (posting,) = of(report, Check.POSTING)
    assert posting.what == "expected an id of visible ASCII, found 'a\\x00transfer'"
    assert checks(report) == {Check.ROOT, Check.POSTING}


async def test_a_removed_block(copy: Copy) -> None:
    await copy.execute("registry", "DELETE FROM blocks WHERE height = 6")
    report = await copy.audit()
    (chain,) = of(report, Check.CHAIN)
    assert (chain.place.ledger, chain.place.block) == ("registry", 7)
    assert chain.what == "expected block 6 before it, it is missing"
    assert {(f.place.block, f.what) for f in of(report, Check.ROOT)} == {
        (6, "expected a block that holds it, there is none")
    }


async def test_a_chain_that_was_cut_off_with_its_head(copy: Copy) -> None:
    earlier = (await copy.audit()).heads
    height = earlier["bank"].height
    await copy.execute(
        "bank",
        f"DELETE FROM blocks WHERE height = {height}",
        f"DELETE FROM postings WHERE height = {height}",
        f"DELETE FROM movements WHERE height = {height}",
        "UPDATE head SET height = b.height, hash = b.hash FROM "
        "(SELECT height, hash FROM blocks ORDER BY height DESC LIMIT 1) AS b",
    )
    report = await copy.audit(earlier=earlier)
    (chain,) = of(report, Check.CHAIN)
    assert f"expected block {height} as audited before" in chain.what
    assert of(report, Check.CONTRACT), "without an earlier audit, the tables still tell"


async def test_a_doubled_execution(copy: Copy) -> None:
    row = await executed(copy, "registry")
    height = row["height"]
    await copy.execute(
        "registry",
        "INSERT INTO postings SELECT height, (SELECT max(position) + 1 FROM postings "
        f"WHERE height = {height}), leaf FROM postings "
        f"WHERE height = {height} AND position = {row['position']}",
    )
    report = await copy.audit()
    (once,) = of(report, Check.ONCE)
    assert (once.place.ledger, once.place.block) == ("registry", height)
    assert once.place.posting is not None and "expected a locked contract" in once.what
    assert of(report, Check.ROOT)


async def test_a_one_legged_settlement(copy: Copy) -> None:
    id = (await copy.row("gateway", SETTLED))["settlement"]
    await copy.execute(
        "bank", f"UPDATE contracts SET status = 'CANCELLED', key = NULL WHERE settlement = '{id}'"
    )
    report = await copy.audit()
    (end,) = of(report, Check.ONE_END)
    assert (end.place.settlement, end.what) == (str(id), "SECU executed, CASH not")
    (contract,) = [f for f in of(report, Check.CONTRACT) if "status" in f.what]
    assert contract.place.settlement == str(id)
    assert "expected status EXECUTED, found CANCELLED" in contract.what
    assert contract.place.block is not None and contract.place.posting is not None
    assert {f.place.settlement for f in of(report, Check.LEARNED)} == {str(id)}


async def test_a_changed_balance(copy: Copy) -> None:
    who = account("bank", SELLER)
    await copy.execute(
        "bank",
        f"UPDATE balances SET available = available + 1 WHERE account = '{who}' AND asset = 'EUR'",
    )
    report = await copy.audit()
    (balance,) = of(report, Check.BALANCE)
    assert balance.place.ledger == "bank"
    assert f"account {who} EUR: expected" in balance.what
    (conserved,) = of(report, Check.CONSERVATION)
    assert "EUR sum to 1" in conserved.what
    assert checks(report) == {Check.BALANCE, Check.CONSERVATION}


async def test_a_negative_holder(copy: Copy) -> None:
    who = account("bank", BUYER)
    await copy.execute(
        "bank",
        "ALTER TABLE balances DROP CONSTRAINT balances_check",
        f"UPDATE balances SET available = -5 WHERE account = '{who}' AND asset = 'USD'",
        "ALTER TABLE balances ADD CONSTRAINT balances_check CHECK "
        "(CASE WHEN counter THEN available <= 0 ELSE available >= 0 END) NOT VALID",
    )
    found = of(await copy.audit(), Check.CONSERVATION)
    assert any(f"{who} holds a negative amount of USD" in finding.what for finding in found)


async def test_a_lost_final_notice_of_a_swap(copy: Copy) -> None:
    id = (await copy.row("gateway", SETTLED))["settlement"]
    mine = f"settlement = '{id}' AND member = '{SELLER}'"
    await copy.execute("gateway", f"DELETE FROM mailbox WHERE {mine}")
    report = await copy.audit()
    (notice,) = of(report, Check.NOTICE)
    assert notice.place.settlement == str(id)
    assert f"found 0 final notices for {SELLER}" in notice.what
    (gap,) = of(report, Check.MAILBOX)
    assert gap.place.member == SELLER and gap.place.message is not None
    assert checks(report) == {Check.NOTICE, Check.MAILBOX}


async def test_a_doubled_notice(copy: Copy) -> None:
    id = (await copy.row("gateway", SETTLED))["settlement"]
    await copy.execute(
        "gateway",
        "INSERT INTO mailbox SELECT m.member, h.last + 1, gen_random_uuid(), definition, related, "
        "created_at, settlement, content FROM mailbox m JOIN mailbox_head h USING (member) "
        f"WHERE settlement = '{id}' AND m.member = '{BUYER}'",
        f"UPDATE mailbox_head SET last = last + 1 WHERE member = '{BUYER}'",
    )
    report = await copy.audit()
    (notice,) = report.findings
    assert (notice.check, notice.place.settlement) == (Check.NOTICE, str(id))
    assert f"found 2 final notices for {BUYER}" in notice.what


@pytest.mark.parametrize(("change", "found"), [("lost", 0), ("doubled", 2)])
async def test_a_confirmation_of_an_instruction(copy: Copy, change: str, found: int) -> None:
    row = await copy.row("gateway", "SELECT * FROM mailbox WHERE definition LIKE 'sese.025%'")
    last = (
        f"UPDATE mailbox_head SET last = last + 1 WHERE member = '{row['member']}'",
        "INSERT INTO mailbox SELECT m.member, h.last, gen_random_uuid(), definition, related, "
        "created_at, settlement, content FROM mailbox m JOIN mailbox_head h USING (member) "
        f"WHERE m.id = '{row['id']}'",
    )
    lost = f"UPDATE mailbox SET definition = 'sese.024.001.12' WHERE id = '{row['id']}'"
    await copy.execute("gateway", *(last if change == "doubled" else (lost,)))
    (status,) = (await copy.audit()).findings
    assert (status.check, status.place.member) == (Check.STATUS, row["member"])
    assert status.place.message is not None
    assert status.what == f"expected 1 final notices, found {found}"


async def test_a_pair_that_nobody_works_on_any_more(copy: Copy) -> None:
    await copy.execute("gateway", "DELETE FROM pending_pair")
    found = of(await copy.audit(), Check.STATUS)
    assert len(found) == 2 and all("to be settled or to wait" in f.what for f in found)


async def test_an_instruction_whose_sender_was_told_nothing(copy: Copy) -> None:
    await copy.execute(
        "gateway",
        "INSERT INTO inbound SELECT member, 'ANOTHER', received_at, id, raw, definition "
        "FROM inbound LIMIT 1",
        "INSERT INTO instruction SELECT gen_random_uuid(), member, 'ANOTHER', 'ANOTHER', "
        "entered_at, key_a, key_b, NULL, false, advised, header, content FROM instruction "
        "WHERE member = (SELECT member FROM inbound WHERE message_id = 'ANOTHER') LIMIT 1",
    )
    (status,) = (await copy.audit()).findings
    assert (status.place.message, status.what) == (
        "ANOTHER",
        "expected a status, its sender was told nothing",
    )


async def test_a_forged_signature(copy: Copy) -> None:
    await copy.execute(
        "registry",
        "UPDATE blocks SET signature = (SELECT signature FROM blocks WHERE height = 4) "
        "WHERE height = 5",
    )
    (signature,) = (await copy.audit()).findings
    assert (signature.check, signature.place.block) == (Check.SIGNATURE, 5)
    assert copy.day.keys["registry"].hex() in signature.what


async def test_a_header_that_was_changed(copy: Copy) -> None:
    await copy.execute("registry", "UPDATE blocks SET at = at + 1 WHERE height = 5")
    report = await copy.audit()
    (signature,) = of(report, Check.SIGNATURE)
    assert "of its header" in signature.what and signature.place.block == 5


@pytest.mark.parametrize("renumbered", [False, True])
async def test_a_deleted_decision(copy: Copy, renumbered: bool) -> None:
    id = (await copy.row("gateway", SETTLED))["settlement"]
    row = await copy.row(
        "gateway", "SELECT sequence FROM journal WHERE settlement = $1 AND decision = 'COMMIT'", id
    )
    sequence = row["sequence"]
    statements = [f"DELETE FROM journal WHERE settlement = '{id}' AND sequence = {sequence}"]
    if renumbered:
        statements.append(
            "UPDATE journal SET sequence = sequence - 1 "
            f"WHERE settlement = '{id}' AND sequence > {sequence}"
        )
    await copy.execute("gateway", *statements)
    report = await copy.audit()
    journal = of(report, Check.JOURNAL)
    assert {finding.place.settlement for finding in journal} == {str(id)}
    if not renumbered:
        assert f"expected row {sequence}, found {sequence + 1}: a row is missing" in journal[0].what
    decided = of(report, Check.DECIDED)
    assert len(decided) == 2 and "shown under None" in decided[0].what


async def test_a_decision_that_was_turned_round(copy: Copy) -> None:
    id = (await copy.row("gateway", SETTLED))["settlement"]
    await copy.execute(
        "gateway",
        "UPDATE journal SET decision = 'CANCEL', events = replace(events, '\"COMMIT\"', "
        f"'\"CANCEL\"') WHERE settlement = '{id}' AND decision IS NOT NULL",
    )
    decided = of(await copy.audit(), Check.DECIDED)
    assert "execution key of leg 0 shown under CANCEL" in decided[0].what


async def test_a_settlement_that_was_deleted(copy: Copy) -> None:
    id = (await copy.row("gateway", SETTLED))["settlement"]
    tables = ("journal", "party", "settlement", "mailbox")
    await copy.execute(
        "gateway", *(f"DELETE FROM {table} WHERE settlement = '{id}'" for table in tables)
    )
    found = of(await copy.audit(), Check.OPENED)
    assert {finding.place.ledger for finding in found} == {"registry", "bank"}
    assert {finding.place.settlement for finding in found} == {str(id)}
    assert all(finding.place.block and finding.place.posting is not None for finding in found)


async def test_a_journal_without_its_settlement(copy: Copy) -> None:
    id = (await copy.row("gateway", SETTLED))["settlement"]
    await copy.execute("gateway", f"DELETE FROM settlement WHERE settlement = '{id}'")
    (journal,) = of(await copy.audit(), Check.JOURNAL)
    assert journal.place.settlement == str(id)
    assert journal.what == "expected its row in table settlement, there is none"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("UPDATE journal SET events = '[]' WHERE settlement = '{}' AND sequence = 1", "fold"),
        ("UPDATE journal SET events = 'x' WHERE settlement = '{}' AND sequence = 2", "fold"),
        ("UPDATE journal SET phase = 'LOCKING' WHERE settlement = '{}'", "expected phase"),
        ("UPDATE journal SET epoch = 7 WHERE settlement = '{}'", "expected epochs"),
        ("UPDATE journal SET decision = NULL WHERE settlement = '{}'", "expected decision"),
        ("DELETE FROM journal WHERE settlement = '{}'", "expected a journal"),
        ("INSERT INTO open_settlement VALUES ('{}', 1)", "it has ended, and replica"),
    ],
)
async def test_a_damaged_journal(copy: Copy, change: str, what: str) -> None:
    id = (await copy.row("gateway", SETTLED))["settlement"]
    await copy.execute("gateway", change.format(id))
    found = of(await copy.audit(), Check.JOURNAL)
    assert {finding.place.settlement for finding in found} == {str(id)}
    assert any(what in finding.what for finding in found)


async def test_a_gap_in_a_mailbox(copy: Copy) -> None:
    await copy.execute("gateway", f"DELETE FROM mailbox WHERE member = '{SELLER}' AND sequence < 3")
    gap = of(await copy.audit(), Check.MAILBOX)[0]
    assert (gap.place.member, gap.place.message) == (SELLER, "1 to 2")


async def test_a_mailbox_that_ends_before_its_head(copy: Copy) -> None:
    await copy.execute("gateway", f"UPDATE mailbox_head SET last = 999 WHERE member = '{SELLER}'")
    (finding,) = (await copy.audit()).findings
    assert (finding.check, finding.place.member) == (Check.MAILBOX, SELLER)
    assert finding.what.startswith("expected messages up to 999, the last is ")


@pytest.mark.parametrize(
    ("ledger", "change", "check", "what"),
    [
        (
            "registry",
            "DELETE FROM contracts WHERE status = 'CANCELLED'",
            Check.CONTRACT,
            "there is no row",
        ),
        (
            "bank",
            "INSERT INTO contracts SELECT gen_random_uuid(), settlement, leg, payer, payee, asset, "
            "quantity, execution_function, execution_digest, cancellation_function, "
            "cancellation_digest, lock_by, expires_at, locked_at, status, ended_at, key "
            "FROM contracts LIMIT 1",
            Check.CONTRACT,
            "expected a posting that made it",
        ),
        (
            "registry",
            "UPDATE operations SET digest = 'x' WHERE id = 'a-transfer'",
            Check.OPERATION,
            "transfer a-transfer: expected digest",
        ),
        (
            "registry",
            "INSERT INTO operations (id, digest) VALUES ('never-posted', 'x')",
            Check.OPERATION,
            "never-posted: expected a posting",
        ),
        (
            "bank",
            "DELETE FROM movements WHERE height = 5",
            Check.STATEMENT,
            "postings in its statement",
        ),
        (
            "bank",
            "UPDATE administration SET by = 'nobody' WHERE number = 2",
            Check.ADMINISTRATION,
            "act 2: expected hash",
        ),
        (
            "bank",
            "DELETE FROM administration WHERE number = 3",
            Check.ADMINISTRATION,
            "act 4: expected previous",
        ),
        ("bank", "UPDATE head SET height = height + 1", Check.CHAIN, "expected the head at block"),
        ("bank", "UPDATE head SET clock = 5", Check.CHAIN, "expected the head's clock"),
    ],
)
async def test_a_damaged_table(
    copy: Copy, ledger: str, change: str, check: Check, what: str
) -> None:
    await copy.execute(ledger, change)
    found = of(await copy.audit(), check)
    assert all(finding.place.ledger == ledger for finding in found)
    assert any(what in finding.what for finding in found), found
