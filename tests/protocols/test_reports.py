"""Statements and position messages: what the golden files alone do not show."""

import msgspec
import pytest
from lxml import etree

from protocols.iso20022.errors import ProtocolError
from protocols.iso20022.lexical import instant
from protocols.iso20022.lock_block import LedgerEvent, LockBlock, read, write
from protocols.iso20022.positions import PositionStatus
from protocols.iso20022.render import document
from protocols.iso20022.schemas import SUPL
from protocols.iso20022.xml import digest, parse
from tests.protocols import samples
from tests.protocols.report_samples import BLOCK, CASH


def test_a_cash_statement_says_what_the_hand_written_example_says() -> None:
    head = msgspec.structs.replace(
        samples.reply_header(CASH),
        business_message_id="CBKA-C053-20261008",
        created_at=instant("2026-10-08T18:00:00Z"),
    )
    example = samples.sample("camt.053-statement.xml")
    assert digest(parse(document(CASH, head).encode())) == digest(parse(example.encode()))


def test_balances_between_pages_are_interim_and_only_the_ends_are_the_statements() -> None:
    def codes(page: int, last: bool) -> list[str | None]:
        head = msgspec.structs.replace(CASH.head, page=page, last=last)
        shown = msgspec.structs.replace(
            CASH, head=head, closing_available=CASH.closing if last else None
        )
        root = parse(document(shown, samples.reply_header(CASH)).encode())
        return [cell.text for cell in root.iterfind(".//{*}Bal/{*}Tp/{*}CdOrPrtry/{*}Cd")]

    assert codes(1, last=False) == ["OPBD", "ITBD"]
    assert codes(2, last=False) == ["ITBD", "ITBD"]
    assert codes(3, last=True) == ["ITBD", "CLBD", "CLAV"]
    assert codes(1, last=True) == ["OPBD", "CLBD", "CLAV"]


@pytest.mark.parametrize("transaction", [None, "ab" * 32])
def test_a_ledger_event_with_or_without_a_transaction_survives_the_block(
    transaction: str | None,
) -> None:
    event = LedgerEvent(ledger="registry", lock="one", transaction=transaction, at=7)
    block: LockBlock = msgspec.structs.replace(BLOCK, event=event)
    root = etree.fromstring(f"<x>{write(block, '/Document/IntraPosMvmntConf')}</x>")
    (found,) = root.iter(f"{{{SUPL}}}Document")
    assert read(found) == block


def test_a_reason_that_no_registry_gives_is_our_own_error() -> None:
    with pytest.raises(AssertionError):
        PositionStatus(id="1", reason="DSEC")


def test_a_namespace_without_a_canonical_form_is_told_and_no_error_of_ours() -> None:
    with pytest.raises(ProtocolError, match="absolute URI"):
        digest(etree.fromstring('<Document xmlns="urn:x"><a xmlns="relative/name"/></Document>'))
