"""The header read in one go is the header that the schema and the tree give."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.iso20022 import header
from protocols.iso20022.envelope import Enveloped, split
from protocols.iso20022.xml import parse
from tests.protocols import samples

_PLAIN = (
    '<BizMsg xmlns="urn:lockstep:tech:xsd:bizmsg.001.01">'
    '<AppHdr xmlns="urn:iso:std:iso:20022:tech:xsd:head.001.001.0{version}">'
    "<Fr><FIId><FinInstnId><BICFI>{sender}</BICFI></FinInstnId></FIId></Fr>"
    "<To><FIId><FinInstnId><BICFI>DVPGNL20XXX</BICFI></FinInstnId></FIId></To>"
    "<BizMsgIdr>{id}</BizMsgIdr><MsgDefIdr>sese.023.001.11</MsgDefIdr>{service}"
    "<CreDt>{created}</CreDt>{repeated}</AppHdr></BizMsg>"
)
_ASCII = "".join(map(chr, range(0x20, 0x7F)))


def _read(raw: bytes) -> header.Header:
    """As the schema and the tree have it."""
    return header.read(parse(raw)[0])


@given(
    version=st.sampled_from("1234"),
    sender=st.sampled_from(("SELADEF0XXX", "SELADEF0", "SELADEF", "0ELADEF0XXX", "SELADEF0XXé")),
    id=st.text(st.sampled_from(_ASCII + "é…"), min_size=0, max_size=37),
    service=st.sampled_from(("", "<BizSvc>x.01</BizSvc>", "<BizSvc/>", "<Prty>HIGH</Prty>")),
    created=st.sampled_from(
        (
            "2026-10-06T09:00:00Z",
            "2026-10-06T09:00:00.123456789Z",
            "2026-10-06T09:00:00+02:00",
            "2026-13-06T09:00:00Z",
            "2026-10-06T24:00:00Z",
            "1066-10-14T09:00:00Z",
        )
    ),
    repeated=st.sampled_from(("", "<PssblDplct>true</PssblDplct>", "<PssblDplct>1</PssblDplct>")),
    blank=st.sampled_from(("", "\n  ", "\r\n\t")),
)
def test_a_header_read_in_one_go_is_what_its_schema_and_its_tree_give(
    version: str, sender: str, id: str, service: str, created: str, repeated: str, blank: str
) -> None:
    text = _PLAIN.format(
        version=version, sender=sender, id=id, service=service, created=created, repeated=repeated
    )
    raw = text.replace("><", f">{blank}<").encode()
    found = header.plain(raw)
    if found is not None:
        assert found == _read(raw)


@pytest.mark.parametrize("version", "234")
@pytest.mark.parametrize("declaration", ["", '<?xml version="1.0" encoding="UTF-8"?>\n'])
def test_nearly_all_headers_are_read_in_one_go(version: str, declaration: str) -> None:
    text = _PLAIN.format(
        version=version,
        sender="SELADEF0XXX",
        id="A-1",
        service="<BizSvc>x.01</BizSvc>",
        created="2026-10-06T09:00:00Z",
        repeated="<PssblDplct>true</PssblDplct>",
    )
    raw = (declaration + text).encode()
    found = header.plain(raw)
    assert found is not None and found.possible_duplicate
    assert found == _read(raw)


@pytest.mark.parametrize(
    "other",
    [
        ("head.001.001.02", "head.001.001.01"),
        ("bizmsg.001.01", "bizmsgx001.01"),
        ("<AppHdr xmlns", '<AppHdr xmlns:x="urn:x" xmlns'),
        ("A-1", "A&amp;1"),
        ("A-1", "<![CDATA[A-1]]>"),
        ("A-1", "A<!-- -->-1"),
        ("A-1", "A" * 36),
        ("</AppHdr>", "<Prty>HIGH</Prty></AppHdr>"),
        ("<To>", "<To >"),
    ],
)
def test_any_other_header_is_left_to_its_schema(other: tuple[str, str]) -> None:
    text = _PLAIN.format(
        version="2",
        sender="SELADEF0XXX",
        id="A-1",
        service="",
        created="2026-10-06T09:00:00Z",
        repeated="",
    )
    assert header.plain(text.encode()) is not None
    assert other[0] in text
    assert header.plain(text.replace(*other).encode()) is None


def test_the_messages_of_a_batch_are_read_so() -> None:
    good = samples.message(samples.sample("sese.023-deliver.xml"), "sese.023.001.11").decode()
    batch = f'<x:BizMsgs xmlns:x="urn:lockstep:tech:xsd:bizmsg.001.01">{good}</x:BizMsgs>'
    (item,) = split(batch.encode())
    assert isinstance(item, Enveloped)
    assert item.header == header.read(item.app_hdr)
