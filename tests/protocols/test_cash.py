"""Cash messages that members send, read and judged: pacs.009, camt.056, camt.050."""

from datetime import date

import pytest
from msgspec.structs import replace

from protocols.iso20022 import inbound, payment_rules
from protocols.iso20022.envelope import validate
from protocols.iso20022.lexical import instant
from protocols.iso20022.payment import LiquidityTransfer, PaymentOrder, PaymentRecall
from protocols.iso20022.rules import BusinessRefusal, Currency, Reference
from tests.protocols import samples
from tests.protocols.cash_samples import ORDERED

REFERENCE = Reference(
    instruments={},
    currencies={"EUR": Currency(ledger="cbka", scale=2)},
    depositories=frozenset(),
    accounts={
        samples.SELLER: {"cbka": frozenset({"EUR-CBKA-SELADE"})},
        samples.BUYER: {"cbka": frozenset({"EUR-CBKA-BUYRFR", "EUR-RTGS-BUYRFR"})},
    },
)
UETR = "8f2b6c1e-6f0a-4c1d-9d57-1b7f4b8a2c10"


def read(document: str, of: str) -> inbound.Content:
    item = samples.one(samples.message(document, of, samples.BUYER))
    validate(item)
    return inbound.decode(item)


def order(*changes: tuple[str, str], version: str = "08") -> PaymentOrder:
    document = samples.sample("pacs.009-cash-leg.xml")
    for old, new in (*changes, ("pacs.009.001.08", f"pacs.009.001.{version}")):
        assert old in document, old
        document = document.replace(old, new)
    content = read(document, f"pacs.009.001.{version}")
    assert isinstance(content, PaymentOrder)
    return content


@pytest.mark.parametrize("version", ["08", "09", "10", "11", "12", "13"])
def test_a_payment_order_is_read_in_every_version(version: str) -> None:
    found = order(version=version)
    assert found.lock is not None
    assert found == PaymentOrder(
        sender=samples.BUYER,
        definition=f"pacs.009.001.{version}",
        message_id="BUYR-P009-20261008-01",
        instruction_id="BUYR2610060077",
        end_to_end_id="TRD-2026-000417",
        uetr=UETR,
        amount="998750",
        currency="EUR",
        settlement_date=date(2026, 10, 8),
        reject_at=instant("2026-10-08T14:00:00Z"),
        debtor=samples.BUYER,
        debtor_account="EUR-CBKA-BUYRFR",
        creditor=samples.SELLER,
        creditor_account="EUR-CBKA-SELADE",
        swap_id="0f6a0b1c-2b44-4a3e-8a54-5d9e3c1f7a21",
        lock=found.lock,
    )
    assert payment_rules.check(found, REFERENCE) is None


def test_a_pointer_names_the_swap_where_a_market_forbids_the_block() -> None:
    document = samples.sample("pacs.009-cash-leg.xml")
    start, end = document.index("<SplmtryData>"), document.index("</SplmtryData>")
    bare = document[:start] + document[end + len("</SplmtryData>") :]
    swap = "11111111-2222-4333-8444-555555555555"
    found = read(bare.replace("/DVP/", f"/HTLC/{swap} /DVP/"), "pacs.009.001.08")
    assert isinstance(found, PaymentOrder)
    assert (found.lock, found.swap_id) == (None, swap)


def test_two_lock_blocks_in_one_payment_are_refused() -> None:
    document = samples.sample("pacs.009-cash-leg.xml")
    start, end = document.index("<SplmtryData>"), document.index("</SplmtryData>")
    block = document[start : end + len("</SplmtryData>")]
    found = read(document.replace(block, block + block), "pacs.009.001.08")
    assert isinstance(found, PaymentOrder)
    refusal = payment_rules.check(found, REFERENCE)
    assert refusal is not None and refusal.rule == "one lock block at most stands in an instruction"


TWICE = "</CdtTrfTxInf>"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("<BICFI>BUYRFRP0XXX</BICFI>\n    </FinInstnId>\n   </Dbtr>", "<Nm>Buyer</Nm>\n    </FinInstnId>\n   </Dbtr>", "RC03"),  # noqa: E501
        ("<BICFI>BUYRFRP0XXX</BICFI>\n    </FinInstnId>\n   </Dbtr>", "<BICFI>SELADEF0XXX</BICFI>\n    </FinInstnId>\n   </Dbtr>", "RC03"),  # noqa: E501
        ("<BICFI>SELADEF0XXX</BICFI>\n    </FinInstnId>\n   </Cdtr>", "<BICFI>NOBODEF0XXX</BICFI>\n    </FinInstnId>\n   </Cdtr>", "RC04"),  # noqa: E501
        ('Ccy="EUR"', 'Ccy="ZZZ"', "AM03"),
        ('Ccy="EUR"', 'Ccy="USD"', "AM03"),
        ("998750.00", "998750.001", "AM12"),
        ("998750.00", "0", "AM12"),
        ("EUR-CBKA-BUYRFR", "EUR-CBKA-SELADE", "AC02"),
        ("EUR-CBKA-SELADE", "EUR-CBKA-BUYRFR", "AC03"),
        ("<IntrBkSttlmDt>2026-10-08", "<IntrBkSttlmDt>2026-10-08Z", "DT01"),
        ("<RjctTm>14:00:00Z", "<RjctTm>14:00:00", "TM01"),
        ("<InstrId>BUYR2610060077", "<InstrId>BUYR\u202e2610060077", "NARR"),
        ("<ExpryDtTm>2026-10-08T14", "<ExpryDtTm>2999-10-08T14", "NARR"),
    ],
)  # fmt: skip
def test_a_wrong_payment_order_is_refused_with_its_code(old: str, new: str, code: str) -> None:
    refusal = payment_rules.check(order((old, new)), REFERENCE)
    assert refusal is not None
    assert refusal.code.value == code
    assert refusal.field.startswith("/Document/FICdtTrf/")


def test_one_message_orders_one_payment() -> None:
    document = samples.sample("pacs.009-cash-leg.xml")
    payment = document[document.index("<CdtTrfTxInf>") : document.index(TWICE) + len(TWICE)]
    found = read(document.replace(payment, payment + payment), "pacs.009.001.08")
    assert isinstance(found, PaymentOrder)
    refusal = payment_rules.check(found, REFERENCE)
    assert refusal is not None
    assert refusal.code.value == "AM18"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"amount": "998749.5"}, "AM09"),
        ({"currency": "USD"}, "AM03"),
        ({"creditor": "DEALGB20"}, "RC04"),
        ({"creditor": "SELADEF0"}, None),
    ],
)
def test_an_order_is_the_agreed_payment_or_another(
    changes: dict[str, str], code: str | None
) -> None:
    found: BusinessRefusal | None = payment_rules.mismatch(
        replace(order(), **changes),
        amounts=frozenset({"998750", "998749"}),
        currency="EUR",
        creditor=samples.SELLER,
    )
    assert (None if found is None else found.code.value) == code


def test_a_recall_is_read_and_more_than_one_payment_is_named() -> None:
    document = samples.sample("camt.056-payment-cancel-request.xml")
    assert read(document, "camt.056.001.08") == PaymentRecall(
        case_id="BUYR-C056-01", payment=ORDERED
    )
    twice = document.replace("</TxInf>", "</TxInf><TxInf/>")
    found = read(twice, "camt.056.001.08")
    assert isinstance(found, PaymentRecall)
    assert found.unserved is not None
    assert found.payment.uetr is None


def transfer(*changes: tuple[str, str]) -> BusinessRefusal | None:
    document = samples.sample("camt.050-liquidity-transfer.xml")
    for old, new in changes:
        assert old in document, old
        document = document.replace(old, new)
    content = read(document, "camt.050.001.05")
    assert isinstance(content, LiquidityTransfer)
    return payment_rules.check_transfer(content, REFERENCE, samples.BUYER, date(2026, 10, 8))


def test_a_liquidity_transfer_is_read() -> None:
    document = samples.sample("camt.050-liquidity-transfer.xml")
    assert read(document, "camt.050.001.05") == LiquidityTransfer(
        message_id="BUYR-C050-20261008-01",
        definition="camt.050.001.05",
        transfer_id="BUYR-LT-0091",
        amount="1500000",
        currency="EUR",
        debit_account="EUR-RTGS-BUYRFR",
        credit_account="EUR-CBKA-BUYRFR",
        settlement_date=date(2026, 10, 8),
    )
    assert transfer() is None


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('<AmtWthCcy Ccy="EUR">1500000.00</AmtWthCcy>', "<AmtWthtCcy>1</AmtWthtCcy>", "AM03"),
        ('Ccy="EUR"', 'Ccy="CHF"', "AM03"),
        ("1500000.00", "1500000.005", "AM12"),
        ("EUR-RTGS-BUYRFR", "EUR-CBKA-SELADE", "AC02"),
        ("EUR-CBKA-BUYRFR", "EUR-CBKA-SELADE", "AC03"),
        ("EUR-RTGS-BUYRFR", "EUR-CBKA-BUYRFR", "AC03"),
        ("2026-10-08</SttlmDt>", "2026-10-09</SttlmDt>", "DT01"),
    ],
)
def test_a_wrong_transfer_is_refused_with_its_code(old: str, new: str, code: str) -> None:
    refusal = transfer((old, new))
    assert refusal is not None
    assert refusal.code.value == code
