"""What we write: valid by two independent validators, as the golden files, unchanged in JSON."""

import io
import json
import sys
from functools import cache
from typing import get_args

import msgspec
import pytest
import xmlschema
from lxml import etree

from protocols.iso20022 import json_form
from protocols.iso20022.advice import Outbound, Rejection, SettlementStatus
from protocols.iso20022.codes import (
    AcknowledgementReason,
    CancellationPendingReason,
    CancellationReason,
    DeniedReason,
    FailingReason,
    PendingReason,
    PositionReason,
    ReasonCode,
    RejectionReason,
    RequestRefusal,
    UnmatchedReason,
)
from protocols.iso20022.errors import ProtocolError, RejectCode
from protocols.iso20022.lexical import escaped
from protocols.iso20022.render import FORMS, batch, render
from protocols.iso20022.schemas import BIZMSG, ISO, SUPL, namespace_of, schema, source
from protocols.iso20022.xml import digest, parse
from tests.protocols import samples

NAMES = sorted(samples.outbound())


def rendered(name: str) -> str:
    value = samples.outbound()[name]
    return render(value, samples.reply_header(value))


@cache
def second_validator(namespace: str) -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(io.BytesIO(source(namespace)))


@pytest.mark.parametrize("name", NAMES)
def test_an_emitted_message_is_valid_by_lxml_and_by_xmlschema(name: str) -> None:
    root = parse(rendered(name).encode())
    for element in (root, *root):
        assert schema(namespace_of(element)).validate(element), element.tag
        text = etree.tostring(element, encoding="unicode")
        second_validator(namespace_of(element)).validate(text)


def test_everything_that_is_told_has_its_form() -> None:
    assert set(FORMS) == set(get_args(Outbound))


def test_a_lock_block_is_valid_against_its_own_schema_by_both() -> None:
    block = next(parse(rendered("sese.024-htlc-locked").encode()).iter(f"{{{SUPL}}}Document"))
    assert schema(SUPL).validate(block)
    second_validator(SUPL).validate(etree.tostring(block, encoding="unicode"))


@pytest.mark.parametrize("name", NAMES)
def test_an_emitted_message_equals_its_golden_file(name: str) -> None:
    assert rendered(name) + "\n" == (samples.GOLDEN / f"{name}.xml").read_text("utf-8")


@pytest.mark.parametrize("name", [n for n in NAMES if (samples.DATA / f"{n}.xml").exists()])
def test_an_emitted_document_says_what_the_hand_written_example_says(name: str) -> None:
    document = parse(rendered(name).encode())[1]
    example = samples.sample(f"{name}.xml")
    assert digest(document) == digest(parse(example.encode()))


@pytest.mark.parametrize("name", NAMES)
def test_canonical_form_survives_parsing_and_writing(name: str) -> None:
    root = parse(rendered(name).encode())
    again = parse(etree.tostring(root, pretty_print=True))
    assert digest(again) == digest(root)


@pytest.mark.parametrize("name", NAMES)
def test_the_stored_json_renders_the_same_message(name: str) -> None:
    value = samples.outbound()[name]
    stored = msgspec.json.encode(value)
    kept = msgspec.json.decode(stored, type=Outbound)
    assert kept == value
    assert render(kept, samples.reply_header(kept)) == rendered(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_json_form_and_back_says_the_same(name: str) -> None:
    value = samples.outbound()[name]
    xml = rendered(name)
    form = json.dumps(json_form.to_json(xml)).encode()
    accepted = frozenset({samples.reply_header(value).definition})
    assert digest(parse(json_form.from_json(form, accepted))) == digest(parse(xml.encode()))


def test_a_batch_of_messages_is_valid_and_each_is_there() -> None:
    root = parse(batch([rendered(name) for name in NAMES]).encode())
    assert schema(BIZMSG).validate(root)
    assert len(root) == len(NAMES)


@pytest.mark.parametrize("text", ["<&>\"'", "\x00\x1b\ud800", "\u202eRTL", "x" * 5000, "]]>"])
def test_any_text_is_escaped_cut_and_valid(text: str) -> None:
    rejection = Rejection.of(
        ProtocolError(RejectCode.XWEL, text, location=text, reference=text or None), 0
    )
    root = parse(render(rejection, samples.reply_header(rejection)).encode())
    for element in root:
        assert schema(namespace_of(element)).validate(element)


def test_whatever_counts_as_printable_xml_can_hold() -> None:
    """`escaped` lets it pass without a closer look."""
    printable = "".join(filter(str.isprintable, map(chr, range(sys.maxunicode + 1))))
    etree.Element("text").text = printable  # ValueError for what XML cannot hold
    assert escaped("\x00a\ud800<\r", 9) == "\ufffda\ufffd&lt;&#13;"


def test_a_reason_that_its_status_does_not_know_is_our_own_error() -> None:
    with pytest.raises(AssertionError, match="DSEC is no reason of Pdg"):
        stored = b'{"status":"Pdg","reasons":[{"code":"DSEC"}]}'
        msgspec.json.decode(stored, type=SettlementStatus)


@pytest.mark.parametrize(
    ("codes", "message", "code_set"),
    [
        (RejectionReason, "sese.024.001.12", "RejectionReason75Code"),
        (UnmatchedReason, "sese.024.001.12", "UnmatchedReason11Code"),
        (PendingReason, "sese.024.001.12", "PendingReason24Code"),
        (FailingReason, "sese.024.001.12", "FailingReason4Code"),
        (CancellationReason, "sese.024.001.12", "CancelledStatusReason16Code"),
        (CancellationPendingReason, "sese.024.001.12", "PendingReason6Code"),
        (AcknowledgementReason, "sese.024.001.12", "AcknowledgementReason5Code"),
        (CancellationPendingReason, "sese.027.001.07", "PendingReason9Code"),
        (DeniedReason, "sese.027.001.07", "DeniedReason6Code"),
        (RequestRefusal, "sese.027.001.07", "RejectionReason74Code"),
        (DeniedReason, "sese.031.001.09", "DeniedReason6Code"),
        (RequestRefusal, "sese.031.001.09", "RejectionReason71Code"),
        (PositionReason, "semt.014.001.07", "PendingReason10Code"),
    ],
)
def test_every_reason_code_is_in_the_code_set_of_the_schema(
    codes: type[ReasonCode], message: str, code_set: str
) -> None:
    tree = etree.fromstring(source(ISO + message))
    known = {
        element.get("value")
        for kind in tree
        if kind.get("name") == code_set
        for element in kind.iter("{http://www.w3.org/2001/XMLSchema}enumeration")
    }
    proprietary = {UnmatchedReason.HTLM}
    assert known
    assert {code.value for code in codes if code not in proprietary} <= known


@pytest.mark.parametrize("schema_name", ["sese.024.001.12", "sese.025.001.11"])
def test_every_transaction_type_that_we_accept_can_be_told_back(schema_name: str) -> None:
    def types(name: str) -> set[str | None]:
        tree = etree.fromstring(source(ISO + name))
        return {
            element.get("value")
            for kind in tree
            if (kind.get("name") or "").startswith("SecuritiesTransactionType")
            for element in kind.iter("{http://www.w3.org/2001/XMLSchema}enumeration")
        }

    for version in ("09", "10", "11", "12", "13"):
        accepted = types(f"sese.023.001.{version}")
        assert accepted
        assert accepted <= types(schema_name)
