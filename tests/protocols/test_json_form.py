"""The JSON form: the same message, and what it refuses that XML could not even say."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.iso20022 import json_form
from protocols.iso20022.envelope import Enveloped, validate
from protocols.iso20022.errors import ProtocolError, RejectCode
from protocols.iso20022.sese023 import decode
from tests.protocols import samples

EXAMPLE = json.loads((samples.DATA / "sese.023-deliver.json").read_text("utf-8"))


def form() -> dict[str, Any]:
    """The seller's instruction in the JSON form, fresh for each test to spoil."""
    return json_form.to_json(samples.deliver().decode())


def error_of(value: Any) -> ProtocolError:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    with pytest.raises(ProtocolError) as caught:
        for item in json_form.split(body):
            if isinstance(item, ProtocolError):
                raise item
            validate(item)
    return caught.value


def test_the_form_of_the_example_is_the_example() -> None:
    assert form()["Document"] == EXAMPLE["Document"]


def test_white_space_around_a_boolean_does_not_turn_it_round() -> None:
    held = samples.deliver().decode().replace("<Ind>false</Ind>", "<Ind> true\n</Ind>")
    body = json.dumps(json_form.to_json(held)).encode()
    (item,) = json_form.split(body)
    assert isinstance(item, Enveloped)
    validate(item)
    assert decode(item).hold


def test_a_message_in_json_is_the_message_in_xml() -> None:
    body = json.dumps(form()).encode()
    (item,) = json_form.split(body)
    assert isinstance(item, Enveloped)
    validate(item)
    assert item.raw == body
    assert item.digest == samples.one(samples.deliver()).digest
    assert decode(item) == samples.read(samples.deliver())


def test_our_lock_block_may_be_written_out() -> None:
    value = form()
    block = {
        "SwpId": "0f6a0b1c-2b44-4a3e-8a54-5d9e3c1f7a21",
        "Leg": "SECU",
        "HshLck": {"Algo": "SHA256", "Val": "9f86d081" * 8},
        "TmLck": [{"Leg": "SECU", "ExpryDtTm": "2026-10-08T16:00:00Z"}],
    }
    envelope = value["Document"]["SctiesSttlmTxInstr"]["SplmtryData"][0]["Envlp"]
    envelope.clear()
    envelope["Document"] = {"HshdTmLckSD1": block}
    (item,) = json_form.split(json.dumps(value).encode())
    assert isinstance(item, Enveloped)
    validate(item)
    lock = decode(item).lock
    assert lock is not None
    assert lock.execution_lock.digest == "9f86d081" * 8


def test_members_may_come_in_any_order() -> None:
    value = form()
    instruction = value["Document"]["SctiesSttlmTxInstr"]
    value["Document"]["SctiesSttlmTxInstr"] = dict(reversed(instruction.items()))
    (item,) = json_form.split(json.dumps(value).encode())
    assert isinstance(item, Enveloped)
    assert item.digest == samples.one(samples.deliver()).digest


@pytest.mark.parametrize(
    ("path", "value", "code", "location"),
    [
        ("TxId", None, "XSDV", "/TxId"),
        ("TxId", 7, "XSDV", None),
        ("TxId", True, "XSDV", "/TxId"),
        ("TxId", ["A"], "XSDV", "/TxId"),
        ("TxId", "\u0000", "XSDV", "/TxId"),
        ("TxId", "\ud800", "XSDV", "/TxId"),
        ("TxId", "X" * 36, "XSDV", "/TxId"),
        ("Nonsense", "A", "XSDV", "/Nonsense"),
        ("SplmtryData", {}, "XSDV", "/SplmtryData"),
        ("SplmtryData", [], "XSDV", "/SplmtryData"),
        ("SttlmAmt", {"Amt": "998750.00", "CdtDbtInd": "CRDT"}, "XSDV", "/SttlmAmt/Amt"),
        (
            "SttlmAmt",
            {"Amt": {"@Ccy": "EUR", "#text": 998750.0}, "CdtDbtInd": "CRDT"},
            "XSDV",
            None,
        ),
        ("SplmtryData", [{"Envlp": {"#xml": "<a>"}}], "XWEL", "/SplmtryData/Envlp"),
        ("SplmtryData", [{"Envlp": {"#xml": "<a/>"}}], "XENV", "/SplmtryData/Envlp"),
        ("SplmtryData", [{"Envlp": {"#xml": "<!DOCTYPE a><a/>"}}], "XDTD", "/SplmtryData/Envlp"),
        ("SplmtryData", [{"Envlp": {"x": "y"}}], "XSDV", "/SplmtryData/Envlp"),
    ],
)
def test_what_the_form_does_not_know_is_refused(
    path: str, value: Any, code: str, location: str | None
) -> None:
    message = form()
    message["Document"]["SctiesSttlmTxInstr"][path] = value
    error = error_of(message)
    assert error.code.value == code
    if location is not None:
        assert error.location == "/Document/SctiesSttlmTxInstr" + location
        assert error.reference == "SELA-BMI-20261006-00012"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", RejectCode.XWEL),
        (b"\xff", RejectCode.XWEL),
        (b"[" * 200_000, RejectCode.XWEL),
        (b'{"AppHdr":{},"AppHdr":{}}', RejectCode.XWEL),
        (b'{"AppHdr":NaN}', RejectCode.XSDV),
        (b"{}", RejectCode.XSDV),
        (b'"text"', RejectCode.XSDV),
        (b"[]", RejectCode.XSIZ),
        (b'{"AppHdr":{"MsgDefIdr":["x"]},"Document":{}}', RejectCode.XSDV),
        (b'{"AppHdr":{"MsgDefIdr":"sese.023.001.01"},"Document":{}}', RejectCode.XVER),
        (b'{"AppHdr":{},"Document":{}}', RejectCode.XVER),
    ],
)
def test_a_body_that_is_no_message_is_refused(body: bytes, code: RejectCode) -> None:
    assert error_of(body).code is code


def test_one_bad_message_of_an_array_does_not_spoil_the_others() -> None:
    first, second, third = json_form.split(json.dumps([form(), {}, form()]).encode())
    assert isinstance(first, Enveloped)
    assert isinstance(second, ProtocolError)
    assert isinstance(third, Enveloped)
    assert decode(third) == decode(first)


_JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.sampled_from(sorted(EXAMPLE["Document"]["SctiesSttlmTxInstr"])), _JSON)
@settings(max_examples=200, deadline=1000)
def test_any_value_anywhere_gives_a_message_or_a_protocol_error(name: str, value: Any) -> None:
    message = form()
    message["Document"]["SctiesSttlmTxInstr"][name] = value
    message["AppHdr"]["BizSvc"] = value
    body = msgspec.json.encode(message)
    try:
        items = json_form.split(body)
    except ProtocolError as error:
        assert error.description
    else:
        assert len(items) == 1
