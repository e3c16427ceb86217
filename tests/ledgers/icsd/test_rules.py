"""Who may ask for what in the network, one rule at a time, and messages that nobody would send."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htlc.contract import Answer, Refusal
from htlc.units import INSTANT_MAX, QUANTITY_MAX, AccountId, AssetId, Instant, Quantity
from ledgers.administration import (
    Act,
    BlockAccount,
    DefineInstrument,
    GrantMandate,
    OpenAccount,
    RevokeMandate,
    UnblockAccount,
)
from ledgers.icsd.block import Fault
from ledgers.icsd.entry import SIGNATURE_TAG, Entry, Membership
from ledgers.icsd.epoch import Member, RegistryId
from ledgers.icsd.proof import membership_statement
from ledgers.icsd.rules import MEMBERS_MAX, are_members, is_registry
from ledgers.instruments import Instrument
from ledgers.parties import Mandate, Principal, Role
from ledgers.port import Redeem
from tests.ledgers.icsd.network import (
    FOUR,
    ISIN,
    KZ,
    NETWORK,
    UZ,
    Chain,
    act,
    asked,
    epoch_of,
    furnished,
    issuer,
    key_of,
    member,
    moved,
    opened,
    operator,
    owner,
)

replace = msgspec.structs.replace


@pytest.fixture(scope="module")
def furnished_chain() -> Chain:
    return furnished(Chain())


@pytest.fixture
def chain(furnished_chain: Chain) -> object:
    """The same chain for all; what a test does is undone."""
    height = furnished_chain.view.height
    pens = {
        name: (pen.sequence, pen.previous, pen.epoch) for name, pen in furnished_chain.pens.items()
    }
    yield furnished_chain
    while furnished_chain.view.height > height:
        furnished_chain.view.undo(furnished_chain.blocks.pop())
    for name, (sequence, previous, epoch) in pens.items():
        pen = furnished_chain.pens[name]
        pen.sequence, pen.previous, pen.epoch = sequence, previous, epoch


def told(chain: Chain, registry: str, entry: Entry) -> Refusal | None:
    result = chain.done(registry, entry).results[0]
    return result.refusal if isinstance(result, Answer) else result


# --- acts ----------------------------------------------------------------------------------------

MANDATE = Mandate(
    account=AccountId("kz-1"), operator="gateway", limit=Quantity(5), until=Instant(2**62)
)


@pytest.mark.parametrize(
    "what",
    [
        BlockAccount(account=AccountId("kz-1")),
        UnblockAccount(account=AccountId("kz-1")),
        GrantMandate(mandate=MANDATE),
        RevokeMandate(account=AccountId("kz-1"), operator="gateway"),
        OpenAccount(account=AccountId("kz-1"), owner="kz-1"),
    ],
)
def test_acts_on_an_account_are_its_home_registrys(chain: Chain, what: Act) -> None:
    by = owner("kz-1") if isinstance(what, GrantMandate | RevokeMandate) else operator("KZ")
    entry = Entry(by=by, act=what)
    assert told(chain, "UZ", entry) is Refusal.NOT_AUTHORISED
    assert told(chain, "KZ", entry) is None


def test_an_instrument_is_defined_where_its_counter_account_is(chain: Chain) -> None:
    entry = act("KZ", DefineInstrument(instrument=GOOD))
    assert told(chain, "UZ", entry) is Refusal.NOT_AUTHORISED
    assert told(chain, "KZ", entry) is None


def test_only_the_issuer_registry_redeems(chain: Chain) -> None:
    operation = Redeem(id="r", account=AccountId("uz-1"), asset=ISIN, quantity=Quantity(10))
    assert told(chain, "UZ", asked(issuer("kz-issuer"), operation)) is Refusal.NOT_AUTHORISED
    assert told(chain, "KZ", asked(issuer("kz-issuer"), operation)) is None
    assert chain.view.tables.omnibus[ISIN] == {UZ: 390}


GOOD = Instrument(
    asset=AssetId("KZ2C00001012"),
    name="Other bond",
    scale=0,
    quantity_type="Unit",
    issuer="kz-issuer",
    counter=AccountId("kz-issue"),
)


@pytest.mark.parametrize(
    "what",
    [
        OpenAccount(account=AccountId("has blank"), owner="o"),
        OpenAccount(account=AccountId("x" * 65), owner="o"),
        OpenAccount(account=AccountId("a\x00"), owner="o"),
        OpenAccount(account=AccountId("a"), owner=""),
        GrantMandate(mandate=replace(MANDATE, operator="")),
        GrantMandate(mandate=replace(MANDATE, limit=Quantity(0))),
        GrantMandate(mandate=replace(MANDATE, limit=Quantity(QUANTITY_MAX + 1))),
        GrantMandate(mandate=replace(MANDATE, until=Instant(-1))),
        GrantMandate(mandate=replace(MANDATE, until=Instant(INSTANT_MAX + 1))),
        RevokeMandate(account=AccountId("kz-1"), operator="ö"),
        DefineInstrument(instrument=replace(GOOD, asset=AssetId(""))),
        DefineInstrument(instrument=replace(GOOD, issuer="a b")),
        DefineInstrument(instrument=replace(GOOD, scale=18)),
        DefineInstrument(instrument=replace(GOOD, scale=-1)),
        DefineInstrument(instrument=replace(GOOD, quantity_type="Other")),
        DefineInstrument(instrument=replace(GOOD, name="x" * 351)),
        DefineInstrument(instrument=replace(GOOD, name="a\x00")),
    ],
)
def test_what_a_node_could_not_store_is_refused(chain: Chain, what: Act) -> None:
    by = owner("kz-1") if isinstance(what, GrantMandate | RevokeMandate) else operator("KZ")
    before = chain.view.state
    assert told(chain, "KZ", Entry(by=by, act=what)) is Refusal.TERMS_REFUSED
    assert chain.view.state.records == before.records


def test_who_asks_has_a_name(chain: Chain) -> None:
    nobody = Principal(name="a\x00", role=Role.OWNER)
    entry = replace(moved("kz-1", "kz-2", 1, "x"), by=nobody)
    assert told(chain, "KZ", entry) is Refusal.TERMS_REFUSED


def test_an_account_at_nobodys_home_is_unknown(chain: Chain) -> None:
    assert told(chain, "KZ", moved("nobody", "kz-1", 1, "x")) is Refusal.UNKNOWN_ACCOUNT
    assert told(chain, "KZ", moved("kz-1", "nobody", 1, "x")) is Refusal.UNKNOWN_ACCOUNT


# --- members -------------------------------------------------------------------------------------

FIVE = tuple(sorted((*FOUR, "TJ")))


def change(
    names: tuple[str, ...],
    signers: tuple[str, ...],
    *,
    number: int = 2,
    members: tuple[Member, ...] | None = None,
    keys: dict[str, str] | None = None,
    network: str = NETWORK,
) -> Entry:
    """A change of members; `keys` says whose key a signer signs with, by default its own."""
    members = tuple(map(member, names)) if members is None else members
    text = SIGNATURE_TAG + membership_statement(network, number, members)  # type: ignore[arg-type]
    signatures = tuple(
        (RegistryId(name), key_of((keys or {}).get(name, name)).sign(text)) for name in signers
    )
    wanted = Membership(epoch=number, members=members, signatures=signatures)
    return Entry(by=operator("KZ"), membership=wanted)


def test_members_change_two_blocks_later(chain: Chain) -> None:
    assert told(chain, "KZ", change(FIVE, ("AM", "GE", "KZ", "TJ"))) is None
    start = chain.view.height + 2
    assert chain.view.following == epoch_of(*FIVE, number=2, start=start)
    assert chain.view.epoch_at(start - 1).number == 1
    chain.block()
    assert chain.view.epoch.number == 1
    chain.block()
    assert (chain.view.epoch.number, chain.view.following) == (2, None)
    pen = chain.pens[KZ]
    assert chain.block(pen.bundle(opened("KZ", "kz-9"), epoch=1)).ignored[0].fault is (
        Fault.WRONG_EPOCH
    )


@pytest.mark.parametrize(
    "signers",
    [
        ("AM", "GE", "TJ"),  # two of the three that are needed
        ("AM", "GE", "KZ"),  # not the one who joins
        ("AM", "GE", "GE", "TJ"),
        ("AM", "GE", "BY", "TJ"),
    ],
)
def test_members_change_by_a_quorum_and_everybody_new(
    chain: Chain, signers: tuple[str, ...]
) -> None:
    assert told(chain, "KZ", change(FIVE, signers)) is Refusal.NOT_AUTHORISED
    assert chain.view.following is None


def test_a_consent_counts_for_one_change_of_one_network(chain: Chain) -> None:
    signers = ("AM", "GE", "KZ", "TJ")
    for other in (
        change(FIVE, signers, network="other"),
        change(FIVE, signers, keys={"GE": "UZ"}),
        change(FIVE, signers, keys={"TJ": "UZ"}),
    ):
        assert told(chain, "KZ", other) is Refusal.NOT_AUTHORISED


def test_only_the_next_epoch_is_decided_and_only_once(chain: Chain) -> None:
    signers = ("AM", "GE", "KZ", "TJ")
    assert told(chain, "KZ", change(FIVE, signers, number=3)) is Refusal.CONFLICT
    assert told(chain, "KZ", change(FIVE, signers, number=1)) is Refusal.CONFLICT
    assert told(chain, "KZ", change(FIVE, signers)) is None
    assert told(chain, "KZ", change(FOUR, FOUR)) is Refusal.CONFLICT


def test_a_member_changes_its_key_with_both_keys(chain: Chain) -> None:
    members = tuple(member(name, "new" if name == "KZ" else None) for name in FOUR)
    signers = ("AM", "GE", "KZ", "KZ+")
    one = change(FOUR, signers[:3], members=members)
    assert told(chain, "KZ", one) is Refusal.NOT_AUTHORISED
    wrong = change(FOUR, signers, members=members, keys={"KZ+": "KZ"})
    assert told(chain, "KZ", wrong) is Refusal.NOT_AUTHORISED
    both = change(FOUR, signers, members=members, keys={"KZ+": "new"})
    assert told(chain, "KZ", both) is None


def test_members_are_in_order_each_once_and_nameable() -> None:
    fine = tuple(map(member, FOUR))
    assert are_members(fine)
    for wrong in (
        (),
        fine[::-1],
        (*fine, fine[-1]),
        (replace(fine[0], public_key=b"short"), *fine[1:]),
        tuple(member(f"R{n:03}") for n in range(MEMBERS_MAX + 1)),
    ):
        assert not are_members(wrong)
    assert is_registry("KZ") and is_registry("KZ-1")
    for name in ("", "a.b", "a*", "a>", "a b", "a+", "cut", "ö"):
        assert not is_registry(name)


# --- what nobody would send ----------------------------------------------------------------------


@given(st.data())
@settings(deadline=None, max_examples=40)
def test_no_message_breaks_the_book(furnished_chain: Chain, data: st.DataObject) -> None:
    """Bytes at random, and a bundle with some bits turned, signed well: a block comes out."""
    chain = furnished_chain
    place = chain.view.place
    raw = bytearray(chain.pens[KZ].bundle(moved("kz-1", "uz-1", 1, "z"), sequence=99))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] ^= 1 << data.draw(st.integers(0, 7))
    signed = _signed_again(chain, bytes(raw), data)
    block = chain.view.apply(
        [bytes(raw), signed, data.draw(st.binary(max_size=60))], chain.closing()
    )
    assert block.header.count == 3
    chain.view.undo(block)
    assert chain.view.place == place


def _signed_again(chain: Chain, raw: bytes, data: st.DataObject) -> bytes:
    """A body with turned bits under a good signature: what a member with a bug could send."""
    last, previous = chain.view.tables.last(KZ)
    pen = chain.pens[KZ]
    body = bytearray(
        msgspec.msgpack.decode(
            pen.bundle(
                moved("kz-1", "uz-1", 1, "z"),
                opened("KZ", "kz-z"),
                sequence=last + 1,
                previous=previous,
            )
        )[1]
    )
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at] ^= 1 << data.draw(st.integers(0, 7))
    signature = key_of("KZ").sign(SIGNATURE_TAG + bytes(body))
    return msgspec.msgpack.encode(["KZ", bytes(body), signature])
