"""An instruction read in one go is the one that parser, schema and tree give."""

import random
import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.iso20022 import envelope, inbound, render, sese023_plain, sese023_write
from protocols.iso20022.envelope import Enveloped
from protocols.iso20022.errors import ProtocolError
from protocols.iso20022.header import Header
from protocols.iso20022.instruction import (
    Client,
    CreditDebit,
    CumEx,
    Movement,
    Payment,
    QuantityType,
    SettlementInstruction,
    SettlementParties,
)
from tests.protocols import samples

VERSIONS = tuple(f"sese.023.001.{version}" for version in ("09", "10", "11", "12", "13"))
_TEXT = st.text(st.sampled_from("AZaz09 -/?:().,'+\""), min_size=1, max_size=35)
_BICS = st.sampled_from(("SELADEF0XXX", "SELADEF0", "BUYAFRP0XXX", "1EGISTR0"))
_NUMBERS = st.from_regex(r"[0-9]{1,13}(\.[0-9]{1,5})?", fullmatch=True)


def _maybe(values: st.SearchStrategy[str]) -> st.SearchStrategy[str | None]:
    return st.none() | values


_PARTIES = st.builds(
    SettlementParties,
    depository=_BICS,
    party1=_BICS,
    lei=st.none() | st.just("5299000J2N45DDNE4Y28"),
    account=_maybe(_TEXT),
    processing_id=_maybe(_TEXT),
    party2=st.none()
    | st.builds(Client, bic=_BICS, account=_maybe(_TEXT), processing_id=_maybe(_TEXT)),
)
_DATES = st.dates(min_value=date(1, 1, 1))
_INSTRUCTIONS = st.builds(
    SettlementInstruction,
    sender=st.just("SELADEF0XXX"),
    definition=st.sampled_from(VERSIONS),
    transaction_id=_TEXT,
    movement=st.sampled_from(Movement),
    payment=st.sampled_from(Payment),
    common_id=_maybe(_TEXT),
    trade_date=_DATES,
    settlement_date=_DATES,
    isin=st.just("DE0001102580"),
    quantity_type=st.sampled_from((QuantityType.FACE_AMOUNT, QuantityType.UNIT)),
    quantity=_NUMBERS,
    account_owner=_maybe(_BICS),
    safekeeping_account=_TEXT,
    cash_account=_maybe(_TEXT.map(lambda text: text[:34])),
    hold=st.booleans(),
    priority=st.none() | st.just("0003"),
    transaction_type=st.just("TRAD"),
    opt_out=st.booleans(),
    cum_ex=st.none() | st.sampled_from(CumEx),
    partial=st.none() | st.sampled_from(("PART", "NPAR")),
    delivering=_PARTIES,
    receiving=_PARTIES,
    amount=_NUMBERS,
    currency=st.sampled_from(("EUR", "JPY", "XTS")),
    credit_debit=st.sampled_from(CreditDebit),
)


def _written(instruction: SettlementInstruction, *, at: int = 1_790_000_000_123_000_000) -> str:
    head = Header(
        sender=instruction.sender,
        receiver="DVPGNL20XXX",
        business_message_id="A-1",
        definition=instruction.definition,
        created_at=at,
    )
    written = sese023_write.encode(instruction, instruction.definition)
    return render.business_message(head, written)


def _plain(body: bytes) -> tuple[Enveloped, ...] | None:
    return envelope._plain(body)


def _by_tree(body: bytes, monkeypatch: pytest.MonkeyPatch) -> list[Enveloped | ProtocolError]:
    """The same body by parser, schema and tree."""
    with monkeypatch.context() as patch:
        patch.setattr(envelope, "_plain", lambda body: None)
        return list(envelope.split(body))


def _check(body: bytes, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a body was read in one go; then it must be valid, and say just this."""
    plain = _plain(body)
    if plain is None:
        return False
    items = _by_tree(body, monkeypatch)
    assert len(items) == len(plain)
    for one, item in zip(plain, items, strict=True):
        assert isinstance(item, Enveloped), str(item)
        assert item.plain is None
        envelope.validate(item)
        assert one.header == item.header
        assert one.definition == item.definition
        assert one.plain == inbound.decode(item) == inbound.decode(one)
        assert one.digest == item.digest == envelope.content_digest(one.raw)
    return True


@pytest.fixture(scope="module")
def patch() -> pytest.MonkeyPatch:
    return pytest.MonkeyPatch()


@given(
    instructions=st.lists(_INSTRUCTIONS, min_size=1, max_size=3),
    blank=st.sampled_from(("", "", "\n  ", "\r\n\t")),
    batch=st.booleans(),
    inherits=st.booleans(),
    declaration=st.sampled_from(("", '<?xml version="1.0" encoding="UTF-8"?>\n')),
)
def test_what_is_read_in_one_go_is_what_schema_and_tree_give(
    patch: pytest.MonkeyPatch,
    instructions: list[SettlementInstruction],
    blank: str,
    batch: bool,
    inherits: bool,
    declaration: str,
) -> None:
    messages = [_written(instruction) for instruction in instructions]
    if batch and inherits:
        messages = [text.replace(' xmlns="urn:lockstep', ' x="urn:lockstep') for text in messages]
        messages = [re.sub(r' x="[^"]*"', "", text) for text in messages]
    text = render.batch(messages) if batch else messages[0]
    body = (declaration + re.sub(r">(?=<)", f">{blank}", text)).encode()
    assert _check(body, patch)


_MUTATIONS = (
    (r"(?<=>)([^<>]+)(?=<)", r""),  # an empty text
    (r"(?<=>)([^<>]+)(?=<)", r"\1\1\1\1"),
    (r"(?<=>)([^<>]+)(?=<)", r" \1 "),
    (r"(?<=>)([^<>]+)(?=<)", r"\1&amp;"),
    (r"(?<=>)([^<>]+)(?=<)", "\\1\u00e9"),
    (r"(?<=>)([^<>]+)(?=<)", r"<!-- -->\1"),
    (r"(?<=>)([^<>]+)(?=<)", r"-1"),
    (r"(?<=>)([^<>]+)(?=<)", r"0000-00-00"),
    (r"(?<=>)([^<>]+)(?=<)", r"2026-02-30"),
    (r"(?<=>)([^<>]+)(?=<)", r"true"),
    (r"(?<=>)([^<>]+)(?=<)", r"12345678901234.123456"),
    (r"<([A-Z]\w+)>", r"<\1 >"),
    (r"<([A-Z]\w+)>", r'<\1 a="b">'),
    (r"<([A-Z]\w+)>", r"<\1><\1>"),
    (r"<(/?)([A-Z]\w+)>", r"<\1x\2>"),
    (r"<([A-Z]\w+)>[^<>]*</\1>", r""),
    (r"(<([A-Z]\w+)>[^<>]*</\2>)", r"\1\1"),
    (r"(<([A-Z]\w+)>[^<>]*</\2>)(<([A-Z]\w+)>[^<>]*</\4>)", r"\3\1"),
    (r"></", ">x</"),
    (r"><", ">\u000b<"),
    (r"><", ">\n<"),
    (r'xmlns="([^"]*)"', r'xmlns="\g<1>x"'),
    (r'xmlns="([^"]*)"', r"xmlns='\1'"),
    (r'xmlns="[^"]*"', r""),
    (r"sese\.023\.001\.\d\d", "sese.023.001.14"),
    (r"sese\.023\.001\.\d\d", "sese.023.001.10"),
    (r"(FaceAmt|Unit)", "Unit"),
    (r"(FaceAmt|Unit)", "AmtsdVal"),
    (r"EUR", "eur"),
    (r"$", "x"),
    (r"$", "\n"),
    (r"^", "\ufeff"),
)


def test_whatever_is_taken_is_valid_and_says_the_same(patch: pytest.MonkeyPatch) -> None:
    """Thousands of faults, each at one place of a message that has all that can be read so."""
    text = _written(_FULL)
    assert _check(text.encode(), patch)
    taken = 0
    for pattern, replacement in _MUTATIONS:
        for found in re.finditer(pattern, text):
            changed = text[: found.start()] + found.expand(replacement) + text[found.end() :]
            for body in (changed.encode(), render.batch([text, changed]).encode()):
                taken += _check(body, patch)
    assert taken > 100  # white space, and values that are other ones now


def test_single_characters_do_not_matter_to_that(patch: pytest.MonkeyPatch) -> None:
    draw = random.Random(23)
    body = _written(_FULL).encode()
    for _ in range(3_000):
        place = draw.randrange(len(body))
        changed = body[:place] + bytes([draw.choice(b'<>/&"= \n09AZaz.-:;\x00\x7f\xc3')])
        _check(changed + body[place + draw.choice((0, 1, 1)) :], patch)


_SIDE = SettlementParties(
    depository="1EGISTR0XXX",
    party1="SELADEF0XXX",
    lei="5299000J2N45DDNE4Y28",
    account="A 1",
    processing_id="P-1",
    party2=Client(bic="CLNTDEF0", account="A 2", processing_id="P-2"),
)
_FULL = SettlementInstruction(
    sender="SELADEF0XXX",
    definition="sese.023.001.11",
    transaction_id="T-1",
    movement=Movement.DELI,
    payment=Payment.APMT,
    common_id="C-1",
    trade_date=date(2026, 10, 5),
    settlement_date=date(2026, 10, 6),
    isin="DE0001102580",
    quantity_type=QuantityType.FACE_AMOUNT,
    quantity="1000",
    account_owner="SELADEF0XXX",
    safekeeping_account="A 1",
    cash_account="W 1",
    hold=True,
    priority="0003",
    transaction_type="TRAD",
    opt_out=True,
    cum_ex=CumEx.EX,
    partial="NPAR",
    delivering=_SIDE,
    receiving=_SIDE,
    amount="998750",
    currency="EUR",
    credit_debit=CreditDebit.CRDT,
)


def test_a_batch_with_one_other_message_is_read_by_its_tree() -> None:
    other = samples.message(samples.sample("sese.023-deliver.xml"), "sese.023.001.11").decode()
    assert _plain(other.encode()) is None  # it has a lock block
    batch = render.batch([_written(_FULL), other]).encode()
    assert _plain(batch) is None
    assert [isinstance(item, Enveloped) for item in envelope.split(batch)] == [True, True]


def test_sizes_are_the_same() -> None:
    text = _written(_FULL)
    many = render.batch([text] * 3).encode()
    assert sese023_plain.split(many, messages_max=3, bytes_max=len(text)) is not None
    assert sese023_plain.split(many, messages_max=2, bytes_max=len(text)) is None
    assert sese023_plain.split(many, messages_max=3, bytes_max=len(text) - 1) is None
    with pytest.raises(ProtocolError, match="XSIZ"):
        envelope.split(text.encode().replace(b"</AppHdr>", b"</AppHdr>" + b" " * 262_144))


def test_what_does_not_match_is_known_not_to_soon() -> None:
    """A megabyte of white space, and of open elements: no second way is tried."""
    text = _written(_FULL)
    blanks = re.sub(r"><", ">" + " " * 10_000 + "<", text) + "x"
    assert _plain(blanks.encode()) is None
    assert _plain(b"<BizMsgs>" * 100_000) is None


def test_a_version_that_is_not_agreed_is_refused_all_the_same() -> None:
    (item,) = envelope.split(_written(_FULL).encode())
    assert isinstance(item, Enveloped) and item.plain is not None
    envelope.validate(item)
    with pytest.raises(ProtocolError, match="XVER"):
        envelope.validate(item, frozenset({"sese.023.001.09"}))
