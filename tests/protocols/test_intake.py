"""From bytes to an instruction: what is accepted, what is refused, and how it is told."""

import time
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from protocols.iso20022.envelope import MESSAGE_BYTES_MAX, Enveloped, split, validate
from protocols.iso20022.errors import ProtocolError, RejectCode
from protocols.iso20022.header import read as read_header
from protocols.iso20022.header import write as write_header
from protocols.iso20022.instruction import Movement, Payment, QuantityType
from protocols.iso20022.lexical import instant, instant_text
from protocols.iso20022.schemas import ISO, schema
from protocols.iso20022.sese023 import decode, encode
from protocols.iso20022.xml import digest, parse
from tests.protocols import samples

EXAMPLES = sorted(path.name for path in samples.DATA.glob("sese.023*.xml"))
HEADERS = sorted(path.name for path in samples.DATA.glob("head.001*.xml"))
GOOD = samples.deliver()


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_instruction_is_accepted(name: str) -> None:
    body = samples.wrapped(samples.sample("head.001-sese.023.xml"), samples.sample(name))
    assert samples.read(body).unreadable == ()


def test_the_fields_of_the_delivery_are_those_a_reader_sees() -> None:
    i = samples.read(GOOD)
    assert (i.transaction_id, i.common_id) == ("SELA2610060001", "TRD-2026-000417")
    assert (i.movement, i.payment) == (Movement.DELI, Payment.APMT)
    assert (i.trade_date, i.settlement_date) == (date(2026, 10, 6), date(2026, 10, 8))
    assert (i.isin, i.quantity_type, i.quantity) == (
        "XS9990000010",
        QuantityType.FACE_AMOUNT,
        "1000000",
    )
    assert (i.amount, i.currency, i.credit_debit) == ("998750", "EUR", "CRDT")
    assert (i.delivering.party1, i.receiving.party1) == ("SELADEF0XXX", "BUYRFRP0XXX")
    assert i.delivering.processing_id == "SELA-REF-88001"
    assert (i.priority, i.partial, i.hold, i.opt_out) == ("0003", "NPAR", False, False)
    assert i.lock is not None
    assert i.lock.secret_holder is not None
    assert [(e.leg, instant_text(e.expires_at)) for e in i.lock.expiries] == [
        ("SECU", "2026-10-08T16:00:00Z"),
        ("CASH", "2026-10-08T14:00:00Z"),
    ]


@pytest.mark.parametrize("version", ["09", "10", "11", "12", "13"])
def test_an_instruction_written_in_each_version_reads_the_same(version: str) -> None:
    definition = f"sese.023.001.{version}"
    i = samples.read(GOOD)
    again = samples.read(samples.message(encode(i, definition), definition))
    assert again.definition == definition
    same = {name for name in i.__struct_fields__ if getattr(i, name) != getattr(again, name)}
    assert same <= {"definition"}


def test_an_example_written_again_says_the_same() -> None:
    body = samples.message(encode(samples.read(GOOD)))
    assert samples.one(body).digest == samples.one(GOOD).digest


@pytest.mark.parametrize("name", HEADERS)
def test_every_example_header_is_read(name: str) -> None:
    head = read_header(parse(samples.sample(name).encode()))
    assert head.created_at in (instant("2026-10-06T09:00:00Z"), instant("2026-10-06T09:00:01Z"))
    assert head.possible_duplicate == ("possible-duplicate" in name)
    assert (head.related is not None) == ("related" in name)


BOOLEANS = {"\n  true\t": True, " 1 ": True, "1": True, " false ": False, " 0": False}
"""xs:boolean as the schemas allow it, white space around it included."""


@pytest.mark.parametrize(("text", "value"), BOOLEANS.items())
def test_a_boolean_is_read_with_white_space_around_it(text: str, value: bool) -> None:
    hold = changed("<Ind>false</Ind>", f"<Ind>{text}</Ind>")
    assert samples.refused(hold) is None
    assert samples.read(hold).hold is value
    head = samples.sample("head.001-possible-duplicate.xml").replace(">true<", f">{text}<")
    assert read_header(parse(head.encode())).possible_duplicate is value


@pytest.mark.parametrize("name", [n for n in HEADERS if "001.001.01" not in n])
def test_a_header_written_again_is_the_example(name: str) -> None:
    example = parse(samples.sample(name).encode())
    assert digest(parse(write_header(read_header(example)).encode())) == digest(example)


@pytest.mark.parametrize("version", ["03", "04"])
def test_newer_headers_are_read(version: str) -> None:
    head = samples.sample("head.001-sese.023.xml").replace("001.001.02", f"001.001.{version}")
    assert samples.refused(samples.wrapped(head, samples.sample("sese.023-deliver.xml"))) is None


def changed(old: str, new: str, count: int = 1) -> bytes:
    text = GOOD.decode()
    assert old in text
    return text.replace(old, new, count).encode()


REFUSED = {
    "not XML": (b"{}", RejectCode.XWEL, "1:1"),
    "cut off": (GOOD[:1500], RejectCode.XWEL, None),
    "undefined prefix": (changed("<TxId>", "<x:TxId>"), RejectCode.XWEL, None),
    "DOCTYPE": (b"<!DOCTYPE BizMsg>" + GOOD, RejectCode.XDTD, None),
    "DOCTYPE in UTF-16": (
        ("<!DOCTYPE BizMsg>" + GOOD.decode()).encode("utf-16"),
        RejectCode.XDTD,
        None,
    ),
    "external entity": (
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        + changed("SELA2610060001", "&x;"),
        RejectCode.XDTD,
        None,
    ),
    "external DTD": (
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd">' + GOOD,
        RejectCode.XDTD,
        None,
    ),
    "UTF-7": (
        b'<?xml version="1.0" encoding="UTF-7"?>' + GOOD,
        RejectCode.XWEL,
        None,
    ),
    "namespace that is no URI": (
        changed("urn:iso:std:iso:20022:tech:xsd:sese", "{http://x}sese"),
        RejectCode.XWEL,
        None,
    ),
    "unused namespace that is no URI": (
        changed("<TxId>", '<TxId xmlns:x="relative">'),
        RejectCode.XWEL,
        None,
    ),
    "version not agreed": (changed("sese.023.001.11", "sese.023.001.08", 9), RejectCode.XVER, None),
    "message we only write": (
        changed("sese.023.001.11", "sese.024.001.12", 9),
        RejectCode.XVER,
        None,
    ),
    "no namespace": (
        changed(' xmlns="urn:iso:std:iso:20022:tech:xsd:sese.023.001.11"', ' xmlns=""'),
        RejectCode.XVER,
        "/Document",
    ),
    "header names another message": (
        changed("<MsgDefIdr>sese.023.001.11", "<MsgDefIdr>sese.023.001.12"),
        RejectCode.XBAH,
        "/AppHdr/MsgDefIdr",
    ),
    "unknown header": (changed("head.001.001.02", "head.001.001.09"), RejectCode.XBAH, "/AppHdr"),
    "header without receiver": (
        changed("<To>", "<Too>").replace(b"</To>", b"</Too>"),
        RejectCode.XBAH,
        "/AppHdr/Too",
    ),
    "header without zone": (
        changed("2026-10-06T09:00:00Z", "2026-10-06T09:00:00"),
        RejectCode.XBAH,
        "/AppHdr/CreDt",
    ),
    "sender without BIC": (
        GOOD.replace(b"\n", b"")
        .replace(b" ", b"")
        .replace(b"xmlns", b" xmlns")
        .replace(b"Ccy", b" Ccy")
        .replace(b"<BICFI>SELADEF0XXX</BICFI>", b"<Nm>Seller</Nm>", 1),
        RejectCode.XBAH,
        "/AppHdr/Fr",
    ),
    "two headers": (
        samples.wrapped(
            samples.sample("head.001-sese.023.xml") * 2, samples.sample("sese.023-deliver.xml")
        ),
        RejectCode.XBAH,
        "/BizMsg",
    ),
    "no document": (
        samples.wrapped(samples.sample("head.001-sese.023.xml"), ""),
        RejectCode.XSDV,
        "/BizMsg",
    ),
    "something else in the wrapper": (
        samples.wrapped(
            samples.sample("head.001-sese.023.xml"), samples.sample("sese.023-deliver.xml") + "<a/>"
        ),
        RejectCode.XSDV,
        "/BizMsg",
    ),
    "missing attribute": (
        changed(' Ccy="EUR"', ""),
        RejectCode.XSDV,
        "/Document/SctiesSttlmTxInstr/SttlmAmt/Amt/@Ccy",
    ),
    "wrong code": (
        changed("APMT", "APMX"),
        RejectCode.XSDV,
        "/Document/SctiesSttlmTxInstr/SttlmTpAndAddtlParams/Pmt",
    ),
    "hash of 31 bytes": (
        changed("9f86d081", "9f86d0"),
        RejectCode.XENV,
        "/Document/HshdTmLckSD1/HshLck/Val",
    ),
    "envelope content without namespace": (
        changed(' xmlns="urn:lockstep:tech:xsd:supl.001.001.01"', ' xmlns=""'),
        RejectCode.XENV,
        None,
    ),
    "empty batch": (
        b'<BizMsgs xmlns="urn:lockstep:tech:xsd:bizmsg.001.01"/>',
        RejectCode.XSDV,
        "/BizMsgs",
    ),
    "message too large": (
        changed("</Document>", " " * MESSAGE_BYTES_MAX + "</Document>"),
        RejectCode.XSIZ,
        None,
    ),
    "body too large": (b" " * (8 * 1024 * 1024 + 1), RejectCode.XSIZ, None),
    "deep": (b"<a>" * 300 + b"</a>" * 300, RejectCode.XWEL, None),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_processed_is_refused_with_code_and_place(name: str) -> None:
    body, code, location = REFUSED[name]
    error = samples.refused(body)
    assert error is not None
    assert error.code is code, str(error)
    assert location is None or error.location == location
    assert error.description


def test_a_refusal_names_the_message_it_is_about() -> None:
    for name in ("wrong code", "header without zone", "hash of 31 bytes", "no document"):
        error = samples.refused(REFUSED[name][0])
        assert error is not None
        assert error.reference == "SELA-BMI-20261006-00012"


def test_a_refusal_does_not_quote_more_than_its_message_holds() -> None:
    for body in (changed("<TxId>", f"<{'X' * 99_999}/><TxId>"), changed("APMT", "A" * 99_999)):
        error = samples.refused(body)
        assert error is not None
        assert len(error.description) <= 350
        assert len(error.location or "") <= 350


ENTITIES = "".join(
    f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' if n else '<!ENTITY e0 "lollollol">' for n in range(10)
)
BOMBS = {
    "billion laughs": f"<!DOCTYPE a [{ENTITIES}]><a>&e9;</a>".encode(),
    "quadratic": f'<!DOCTYPE a [<!ENTITY x "{"x" * 100_000}">]><a>{"&x;" * 10_000}</a>'.encode(),
    "200,000 attributes": b"<a " + b" ".join(b'a%d="1"' % n for n in range(200_000)) + b"/>",
    "deep": b"<a>" * 1_000_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_a_moment(name: str) -> None:
    started = time.process_time()
    assert samples.refused(BOMBS[name]) is not None
    assert time.process_time() - started < 2.0


def test_a_comment_does_not_split_a_text() -> None:
    i = samples.read(changed("SELADEF0XXX</AnyBIC>", "SELA<!-- x -->DEF<?y z?>0XXX</AnyBIC>"))
    assert i.account_owner == "SELADEF0XXX"


def test_a_schema_location_is_ignored() -> None:
    hint = (
        '<Document xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xsi:schemaLocation="urn:iso:std:iso:20022:tech:xsd:sese.023.001.11 http://127.0.0.1:9/x"'
    )
    body = changed("<Document", hint)
    assert samples.refused(body) is None
    assert samples.one(body).digest == samples.one(GOOD).digest


def prefixed() -> bytes:
    """The same message with a prefix in every place."""
    root = parse(GOOD)
    nsmap = {
        "s": "urn:lockstep:tech:xsd:supl.001.001.01",
        "d": ISO + "sese.023.001.11",
        "h": ISO + "head.001.001.02",
    }
    wrapper = etree.Element("{urn:any:wrapper}Envelope", nsmap=nsmap)

    def copy(parent: etree._Element, element: etree._Element) -> None:
        child = etree.SubElement(parent, element.tag)
        for name, value in element.attrib.items():
            child.set(name, value)
        child.text, child.tail = element.text, element.tail
        for grandchild in element:
            copy(child, grandchild)

    for element in root:
        copy(wrapper, element)
    return bytes(etree.tostring(wrapper))


def test_prefixes_and_a_foreign_wrapper_are_accepted_and_say_the_same() -> None:
    body = prefixed()
    assert b"<d:Document" in body
    assert samples.refused(body) is None
    assert samples.one(body).digest == samples.one(GOOD).digest
    assert samples.read(body) == samples.read(GOOD)
    error = samples.refused(body.replace(b">APMT<", b">APMX<"))
    assert error is not None
    assert error.location == "/Document/SctiesSttlmTxInstr/SttlmTpAndAddtlParams/Pmt"


def test_the_digest_ignores_layout_and_sees_content() -> None:
    compact = parse(GOOD)
    etree.indent(compact, space="\t", level=3)
    assert samples.one(etree.tostring(compact)).digest == samples.one(GOOD).digest
    assert samples.one(changed("998750.00", "998750.01")).digest != samples.one(GOOD).digest
    assert samples.one(changed("<Ind>false", "<Ind> false")).digest != samples.one(GOOD).digest


def test_one_bad_message_does_not_spoil_the_others() -> None:
    inner = GOOD.decode().replace(' xmlns="urn:lockstep:tech:xsd:bizmsg.001.01"', "")
    bad = inner.replace("<CreDt>2026", "<CreDt>x")
    batch = (
        f'<BizMsgs xmlns="urn:lockstep:tech:xsd:bizmsg.001.01">{inner}{bad}<a/>{inner}</BizMsgs>'
    )
    first, second, third, fourth = split(batch.encode())
    assert isinstance(first, Enveloped)
    assert isinstance(second, ProtocolError)
    assert second.code is RejectCode.XBAH
    assert second.reference == "SELA-BMI-20261006-00012"
    assert isinstance(third, ProtocolError)
    assert isinstance(fourth, Enveloped)
    assert decode(fourth) == decode(first)
    assert samples.one(fourth.raw).digest == fourth.digest


def test_raw_is_what_was_sent() -> None:
    assert samples.one(GOOD).raw == GOOD


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("<Dt>2026-10-08</Dt>", "<Dt>2026-10-08Z</Dt>", "DDAT"),
        ("<Dt>2026-10-06</Dt>", "<Dt>2026-10-06+14:00</Dt>", "DTRD"),
        ("<Dt>2026-10-08</Dt>", "<DtTm>2026-10-08T00:00:00Z</DtTm>", "DDAT"),
        ("<ISIN>XS9990000010</ISIN>", "<Desc>a bond</Desc>", "DSEC"),
        (">998750.00<", ">+998750.00<", "DMON"),
        ("<FaceAmt>1000000<", "<FaceAmt>+1000000<", "DQUA"),
        ("16:00:00Z</Expry", "24:00:00Z</Expry", "VALR"),
    ],
)
def test_what_the_schema_allows_and_nobody_settles_is_told(old: str, new: str, code: str) -> None:
    i = samples.read(changed(old, new))
    assert [fault.code.value for fault in i.unreadable] == [code]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("1.", "1"), (".5", "0.5"), ("001.2500", "1.25"), (" 7 ", "7"), ("0.000", "0")],
)
def test_amounts_have_one_canonical_text(text: str, canonical: str) -> None:
    assert samples.read(changed(">998750.00<", f">{text}<")).amount == canonical


def mutations() -> list[tuple[str, bytes]]:
    """Each element of the document dropped, doubled, swapped with the next, emptied, over-long."""
    found = []
    count = len(list(parse(GOOD)[1].iter()))
    for place in range(1, count):
        for kind in ("drop", "double", "swap", "empty", "long", "rename"):
            root = parse(GOOD)
            element = list(root[1].iter())[place]
            parent = element.getparent()
            assert parent is not None
            index = parent.index(element)
            if kind == "drop":
                parent.remove(element)
            elif kind == "double":
                parent.insert(index, parse(etree.tostring(element)))
            elif kind == "swap":
                parent.insert(index + 1, parent[index])
            elif kind == "empty":
                element.text = None
            elif kind == "long":
                element.text = (element.text or "") + "X" * 400
            else:
                element.tag = f"{element.tag}X"
            found.append((f"{kind} {place}", etree.tostring(root)))
    return found


def test_a_mutated_instruction_gets_the_verdict_of_the_schemas_and_never_a_crash() -> None:
    verdicts = {True: 0, False: 0}
    supl = "urn:lockstep:tech:xsd:supl.001.001.01"
    for name, body in mutations():
        document = parse(body)[1]
        valid = schema(ISO + "sese.023.001.11").validate(document)
        contents = [envelope[0] for envelope in document.iter("{*}Envlp") if len(envelope)]
        valid = valid and all(
            schema(supl).validate(c) for c in contents if str(c.tag).startswith("{" + supl)
        )
        error = samples.refused(body)
        assert (error is None) == valid, (name, error)
        verdicts[valid] += 1
        if valid:
            samples.read(body)
        else:
            assert error is not None
            assert error.location
    assert min(verdicts.values()) > 50  # the mutations are no mere noise


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
@settings(max_examples=200, deadline=1000)
def test_any_bytes_give_messages_or_a_protocol_error(body: bytes) -> None:
    try:
        split(body)
    except ProtocolError as error:
        assert error.status_hint in range(400, 600)


@given(
    st.integers(0, len(GOOD) - 1),
    st.binary(min_size=0, max_size=4),
    st.integers(0, 40),
)
@settings(max_examples=400, deadline=1000)
def test_a_damaged_message_gives_an_instruction_or_a_protocol_error(
    place: int, inserted: bytes, removed: int
) -> None:
    body = GOOD[:place] + inserted + GOOD[place + removed :]
    try:
        for item in split(body):
            assert isinstance(item, Enveloped)
            validate(item)
            decode(item)
    except ProtocolError as error:
        assert error.description


@given(st.integers(0, 2**63 - 1 - 10**18))
def test_an_instant_is_written_as_it_is_read(at: int) -> None:
    assert instant(instant_text(at)) == at


@pytest.mark.parametrize(
    "text", ["2026-10-06", "2026-13-06T00:00:00Z", "2026-10-06T24:00:00Z", "1" * 99, ""]
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"instant|month|hour"):
        instant(text)


def test_an_offset_is_the_same_instant() -> None:
    assert instant("2026-10-06T11:00:00+02:00") == instant("2026-10-06T09:00:00Z")
    assert instant("2026-10-06T04:30:00.25-04:30") - instant("2026-10-06T09:00:00Z") == 250_000_000
