"""What members read of their money in `lockstep inbox`."""

import pytest

from gateway.statuses import told
from protocols.iso20022 import render
from tests.protocols import samples


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("pacs.002-accepted", "payment ACTC accepted"),
        (
            "pacs.002-locked",
            "payment PDNG locked HTLC-LOCKED: "
            "Cash locked on ledger CBKA, refundable after 2026-10-08T14:00:00Z",
        ),
        ("pacs.002-settled", "payment ACSC settled"),
        ("pacs.002-rejected", "payment RJCT rejected AM04: Insufficient funds at lock deadline"),
        ("camt.054-credit-notification", "credited 998750.00 EUR on EUR-CBKA-SELADE"),
        ("camt.054-debit-exchange", "debited 1000 JPY on EUR-CBKA-SELADE"),
        ("camt.029-cancelled", "recall CNCL cancelled"),
        ("camt.029-unknown", "recall RJCR rejected NOOR"),
        ("camt.025-receipt", "transfer SSET"),
        ("camt.025-rejected", "transfer REJT AM04: not enough money"),
        ("admi.004-break", "system BRKB registry: its probe is not what it declares"),
    ],
)
def test_the_inbox_says_what_became_of_money_in_words(name: str, says: str) -> None:
    value = samples.outbound()[name]
    found = told(render.render(value, samples.reply_header(value)))
    assert str(found) == says
    assert not found.is_final
