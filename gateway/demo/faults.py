"""What goes wrong on any day: messages that cannot be read, break a rule, or come twice."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import msgspec

from gateway.demo.expected import Outcome, Sent, Trade
from gateway.demo.trades import BUSINESS_DATE, TRADE_DATE
from gateway.demo.writing import Custodian, Desk
from protocols.iso20022 import render, sese023
from protocols.iso20022.instruction import Movement, SettlementInstruction

NOBODY: Final = "NEMOGB20XXX"
"""A well-formed test BIC of nobody who is connected here."""


def faults(desk: Desk) -> list[Trade]:
    """The faulty messages, written into files of their own; what must become of each."""
    return [*_unreadable(desk), *_against_the_rules(desk), *_repeated(desk)]


def _instruction(desk: Desk, sender: Custodian, counterparty: str) -> SettlementInstruction:
    """An instruction that nobody answers."""
    return desk.instruction(
        sender,
        Movement.DELI,
        counterparty=counterparty,
        common=f"LONE-{sender.next_transaction()}",
        trade_date=TRADE_DATE,
        settlement_date=BUSINESS_DATE,
        isin="XS2999000016",
        quantity=12_000,
        amount=Decimal("11987.40"),
    )


def _fault(id: str, story: str, sent: Sent) -> Trade:
    return Trade(id=id, story=story, sides=(sent,))


# --- not processed: admi.002 ---------------------------------------------------------------------


def _unreadable(desk: Desk) -> Iterator[Trade]:
    first, second, third, fourth, fifth, sixth = list(desk.custodians.values())[:6]
    first.put("81-not-xml.xml", "Dear colleagues, please find our instructions attached.")
    yield _refused("F01", "not XML", first, "81-not-xml.xml", None, "XWEL")

    reference, text = second.message(_instruction(desk, second, first.bic))
    text = text.replace("<SttlmDt>", "<SttlmDate>").replace("</SttlmDt>", "</SttlmDate>")
    second.put("81-schema.xml", text)
    yield _refused(
        "F02", "an element the schema does not know", second, "81-schema.xml", reference, "XSDV"
    )

    reference, text = third.message(_instruction(desk, third, first.bic))
    bomb = '<!DOCTYPE BizMsg [<!ENTITY secret SYSTEM "file:///etc/passwd">]>\n'
    third.put("81-doctype.xml", bomb + text.replace("LONE-", "&secret;", 1))
    yield _refused(
        "F03", "a DOCTYPE with an external entity", third, "81-doctype.xml", None, "XDTD"
    )

    instruction = _instruction(desk, fourth, first.bic)
    reference, _ = fourth.message(instruction)
    text = render.business_message(
        msgspec.structs.replace(fourth.head(reference), definition="sese.023.001.02"),
        sese023.encode(instruction, fourth.version).replace(fourth.version, "sese.023.001.02"),
    )
    fourth.put("81-version.xml", text)
    yield _refused(
        "F04", "a version that was never agreed", fourth, "81-version.xml", reference, "XVER"
    )

    reference, text = fifth.message(_instruction(desk, fifth, first.bic))
    sender = f"<BICFI>{fifth.bic}</BICFI>"
    fifth.put("81-other-sender.xml", text.replace(sender, f"<BICFI>{sixth.bic}</BICFI>", 1))
    yield _refused(
        "F05", "in another member's name", fifth, "81-other-sender.xml", reference, "XAUT"
    )


def _refused(
    id: str, story: str, sender: Custodian, file: str, reference: str | None, code: str
) -> Trade:
    sent = Sent(
        sender=sender.bic, file=file, reference=reference, outcome=Outcome.REFUSED, code=code
    )
    return _fault(id, story, sent)


# --- against a business rule: sese.024 Rjctd -----------------------------------------------------


def _against_the_rules(desk: Desk) -> Iterator[Trade]:
    senders = list(desk.custodians.values())[4:9]
    other = senders[0].bic
    changes: tuple[tuple[str, str, dict[str, object]], ...] = (
        ("ISIN with a wrong check digit", "DSEC", {"isin": "XS2999000017"}),
        ("amount with three decimals", "DMON", {"amount": "11987.405"}),
        ("currency that no ledger here keeps", "NCRR", {"currency": "NOK"}),
        (
            "safekeeping account of somebody else",
            "SAFE",
            {"safekeeping_account": "REG-ALSTDE-0001"},
        ),
    )
    for number, (sender, (story, code, changed)) in enumerate(
        zip(senders[1:], changes, strict=True), start=6
    ):
        instruction = msgspec.structs.replace(_instruction(desk, sender, other), **changed)
        if "safekeeping_account" in changed:
            own = msgspec.structs.replace(instruction.delivering, account=None)
            instruction = msgspec.structs.replace(instruction, delivering=own)
        yield _rejected(f"F{number:02d}", story, sender, instruction, code)
    instruction = _instruction(desk, senders[0], NOBODY)
    yield _rejected("F10", "counterparty that is no member", senders[0], instruction, "ICAG")


def _rejected(
    id: str, story: str, sender: Custodian, instruction: SettlementInstruction, code: str
) -> Trade:
    reference, text = sender.message(instruction)
    file = f"82-{code.lower()}.xml"
    sender.put(file, text)
    return _fault(
        id,
        story,
        Sent(
            sender=sender.bic,
            file=file,
            reference=reference,
            outcome=Outcome.REJECTED,
            code=code,
        ),
    )


# --- once more -----------------------------------------------------------------------------------


def _repeated(desk: Desk) -> Iterator[Trade]:
    """First messages of custodians again: the same, changed, and under a new identifier."""
    senders = list(desk.custodians.values())[9:12]
    for number, sender in enumerate(senders, start=11):
        reference, text = next(iter(sender.messages.items()))
        sender.put("91-again.xml", text)
        sent = Sent(
            sender=sender.bic, file="91-again.xml", reference=reference, outcome=Outcome.REPEATED
        )
        yield _fault(f"F{number}", "the same message again", sent)
    sender = senders[0]
    reference, text = next(iter(sender.messages.items()))
    sender.put("92-other-content.xml", text.replace("<Pmt>APMT</Pmt>", "<Pmt>FREE</Pmt>"))
    yield _refused(
        "F14",
        "the same identifier, other content",
        sender,
        "92-other-content.xml",
        reference,
        "XDUP",
    )
    sender = senders[1]
    reference, text = next(iter(sender.messages.items()))
    again = f"{reference[:-6]}900001"
    sender.put("92-used-reference.xml", text.replace(reference, again))
    sent = Sent(
        sender=sender.bic,
        file="92-used-reference.xml",
        reference=again,
        outcome=Outcome.REJECTED,
        code="REFE",
    )
    yield _fault("F15", "a new message with a used transaction reference", sent)
