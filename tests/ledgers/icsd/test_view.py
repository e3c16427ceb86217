"""The rules of the network's book: what counts, who may do what, and that the CSD links agree."""

import msgspec
import pytest

from htlc.contract import Answer, Refusal
from htlc.units import AccountId, AssetId, Instant
from ledgers.administration import BlockAccount
from ledgers.icsd.block import Fault
from ledgers.icsd.entry import ENTRIES_MAX, STEP_MAX, Cut, Entry, Hash, pack, sign, unpack
from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.proof import Result
from ledgers.icsd.view import View
from ledgers.parties import Balance
from ledgers.profile import Profile
from tests.ledgers.icsd.network import (
    FOUR,
    GE,
    ISIN,
    KZ,
    NETWORK,
    UZ,
    Chain,
    Pen,
    act,
    certificate_of,
    defined,
    furnished,
    issued,
    key_of,
    moved,
    opened,
    operator,
)


def refusal(result: Result) -> Refusal | None:
    return result.refusal if isinstance(result, Answer) else result


@pytest.fixture
def chain() -> Chain:
    return furnished(Chain())


def held(chain: Chain, account: str) -> Balance:
    return chain.view.book.balance(AccountId(account), ISIN)


# --- which messages count ------------------------------------------------------------------------


def fault_of(chain: Chain, message: bytes) -> Fault | None:
    block = chain.block(message)
    return block.ignored[0].fault if block.ignored else None


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"epoch": 2}, Fault.WRONG_EPOCH),
        ({"sequence": 7}, Fault.WRONG_SEQUENCE),
        ({"sequence": 2}, Fault.WRONG_SEQUENCE),
        ({"previous": Hash(bytes(32))}, Fault.WRONG_PREVIOUS),
        ({"entries": ()}, Fault.TOO_LARGE),
        ({"entries": (opened("KZ", "kz-9"),) * (ENTRIES_MAX + 1)}, Fault.TOO_LARGE),
    ],
)
def test_a_bundle_that_breaks_a_rule_changes_nothing(
    chain: Chain, changed: dict[str, object], fault: Fault
) -> None:
    before = chain.view.state
    assert fault_of(chain, chain.pens[KZ].bundle(opened("KZ", "kz-9"), **changed)) is fault
    assert chain.view.state == before


def test_a_bundle_signed_by_another_key_changes_nothing(chain: Chain) -> None:
    read = unpack(chain.pens[KZ].bundle(opened("KZ", "kz-9")))
    assert read is not None
    forged = pack(sign(read[1], key_of("UZ")))
    assert fault_of(chain, forged) is Fault.BAD_SIGNATURE


def test_a_bundle_of_a_stranger_changes_nothing(chain: Chain) -> None:
    stranger = chain.pens[RegistryId("TJ")].bundle(opened("TJ", "tj-1"))
    assert fault_of(chain, stranger) is Fault.NOT_A_MEMBER


def test_what_cannot_be_read_is_in_the_block_and_changes_nothing(chain: Chain) -> None:
    before = chain.view.state
    block = chain.block(b"", b"\xff" * 40, b"{}")
    assert [ignored.fault for ignored in block.ignored] == [Fault.UNREADABLE] * 3
    assert block.header.count == 3
    assert chain.view.state == before


def test_the_same_bundle_twice_is_done_once(chain: Chain) -> None:
    bundle = chain.pens[KZ].bundle(moved("kz-1", "kz-2", 10, "move-2"))
    block = chain.block(bundle, bundle)
    assert [ignored.fault for ignored in block.ignored] == [Fault.WRONG_SEQUENCE]
    assert held(chain, "kz-2").available == 10


# --- which cuts close ----------------------------------------------------------------------------


def cut_fault(
    chain: Chain, by: str = "KZ", key: str | None = None, **changed: object
) -> Fault | None:
    last = chain.blocks[-1].statement
    fields: dict[str, object] = {
        "epoch": 1,
        "registry": by,
        "height": chain.view.height + 1,
        "at": Instant(chain.view.at + 1),
        "certificate": certificate_of(last, "AM", "GE", "KZ"),
    }
    cut = Cut(**(fields | changed))  # type: ignore[arg-type]
    return chain.view.cut_fault(sign(cut, key_of(key or by)), cut)


def test_a_cut_of_a_member_with_a_quorum_behind_the_last_block_closes(chain: Chain) -> None:
    assert cut_fault(chain) is None


def test_a_cut_must_be_a_members(chain: Chain) -> None:
    assert cut_fault(chain, by="TJ") is Fault.NOT_A_MEMBER
    assert cut_fault(chain, by="KZ", key="UZ") is Fault.BAD_SIGNATURE


def test_a_cut_must_be_of_the_epoch_and_the_next_height(chain: Chain) -> None:
    assert cut_fault(chain, epoch=2) is Fault.WRONG_EPOCH
    assert cut_fault(chain, height=chain.view.height) is Fault.WRONG_HEIGHT
    assert cut_fault(chain, height=chain.view.height + 2) is Fault.WRONG_HEIGHT


def test_time_never_goes_back_but_may_stand(chain: Chain) -> None:
    assert cut_fault(chain, at=chain.view.at) is None
    assert cut_fault(chain, at=Instant(chain.view.at - 1)) is Fault.WRONG_TIME
    assert cut_fault(chain, at=Instant(2**63)) is Fault.WRONG_TIME


def test_time_advances_by_four_heartbeats_at_most(chain: Chain) -> None:
    assert cut_fault(chain, at=Instant(chain.view.at + STEP_MAX)) is None
    assert cut_fault(chain, at=Instant(chain.view.at + STEP_MAX + 1)) is Fault.TOO_FAR


def test_a_cut_must_carry_a_certificate_of_the_block_before(chain: Chain) -> None:
    last, before = chain.blocks[-1].statement, chain.blocks[-2].statement
    assert cut_fault(chain, certificate=None) is Fault.UNCERTIFIED
    assert cut_fault(chain, certificate=certificate_of(before, *FOUR)) is Fault.UNCERTIFIED
    assert cut_fault(chain, certificate=certificate_of(last, "AM", "GE")) is Fault.UNCERTIFIED
    twice = certificate_of(last, "AM", "GE", "GE")
    assert cut_fault(chain, certificate=twice) is Fault.UNCERTIFIED
    stranger = certificate_of(last, "AM", "GE", "TJ")
    assert cut_fault(chain, certificate=stranger) is Fault.UNCERTIFIED
    later = certificate_of(msgspec.structs.replace(last, epoch=2), *FOUR)
    assert cut_fault(chain, certificate=later) is Fault.UNCERTIFIED


def test_the_first_cut_carries_none(chain: Chain) -> None:
    view = Chain().view
    first = Cut(epoch=1, registry=KZ, height=1, at=Instant(1), certificate=None)
    assert view.cut_fault(sign(first, key_of("KZ")), first) is None
    certificate = certificate_of(chain.blocks[-1].statement, *FOUR)
    strange = Cut(epoch=1, registry=KZ, height=1, at=Instant(1), certificate=certificate)
    assert view.cut_fault(sign(strange, key_of("KZ")), strange) is Fault.UNCERTIFIED


# --- who may do what -----------------------------------------------------------------------------


def test_only_the_home_registry_moves_from_an_account(chain: Chain) -> None:
    result = chain.done("UZ", moved("kz-1", "uz-1", 1, "theft")).results[0]
    assert refusal(result) is Refusal.NOT_AUTHORISED
    assert held(chain, "kz-1").available == 600


def test_only_the_issuer_registry_issues(chain: Chain) -> None:
    result = chain.done("UZ", issued("kz-issuer", "uz-1", 1, "forged")).results[0]
    assert refusal(result) is Refusal.NOT_AUTHORISED


def test_only_the_home_registry_blocks_an_account(chain: Chain) -> None:
    block = BlockAccount(account=AccountId("kz-1"))
    assert chain.done("UZ", act("UZ", block)).results == (Refusal.NOT_AUTHORISED,)
    assert chain.done("KZ", act("KZ", block)).results == (None,)


def test_an_account_has_one_home(chain: Chain) -> None:
    assert chain.done("UZ", opened("UZ", "kz-1")).results == (Refusal.NOT_AUTHORISED,)


@pytest.mark.parametrize(
    ("entry", "refused"),
    [
        (defined("KZ", AssetId("NEW"), "nobody", "kz-issuer"), Refusal.UNKNOWN_ACCOUNT),
        (defined("KZ", AssetId("NEW"), "kz-1", "kz-issuer"), Refusal.TERMS_REFUSED),
        (defined("KZ", ISIN, "nobody", "kz-issuer"), Refusal.CONFLICT),
        (act("KZ", BlockAccount(account=AccountId("nobody"))), Refusal.UNKNOWN_ACCOUNT),
    ],
)
def test_an_act_that_is_refused_touches_nothing(
    chain: Chain, entry: Entry, refused: Refusal
) -> None:
    """Nor stops anybody: it names accounts and instruments that there are not."""
    before = chain.view.state
    assert chain.done("KZ", entry).results == (refused,)
    assert msgspec.structs.replace(chain.view.state, sequences=before.sequences) == before
    assert not chain.blocks[-1].changes.balances


def test_an_entry_asks_for_one_thing(chain: Chain) -> None:
    nothing = Entry(by=operator("KZ"))
    both = Entry(
        by=operator("KZ"), act=opened("KZ", "kz-9").act, operation=moved("a", "b", 1, "c").operation
    )
    results = chain.done("KZ", nothing, both).results
    assert [refusal(result) for result in results] == [Refusal.TERMS_REFUSED] * 2
    assert AccountId("kz-9") not in chain.view.book.accounts


# --- links, roots, going back --------------------------------------------------------------------


def test_omnibus_accounts_move_with_the_holdings(chain: Chain) -> None:
    assert chain.view.tables.omnibus[ISIN] == {UZ: 400}
    chain.done("UZ", moved("uz-1", "ge-1", 150, "realignment"))
    assert chain.view.tables.omnibus[ISIN] == {UZ: 250, GE: 150}
    chain.done("GE", moved("ge-1", "kz-2", 150, "home"))
    assert chain.view.tables.omnibus[ISIN] == {UZ: 250}
    issuance = chain.view.issuance(ISIN)
    assert issuance is not None and issuance.is_whole and issuance.issued == 1_000


def test_a_block_that_is_undone_leaves_no_trace(chain: Chain) -> None:
    before, place = chain.view.state, chain.view.place
    block = chain.block(
        chain.pens[UZ].bundle(opened("UZ", "uz-9"), moved("uz-1", "uz-9", 5, "m")),
        chain.pens[KZ].bundle(moved("kz-1", "ge-1", 5, "n")),
    )
    assert chain.view.state != before
    chain.view.undo(block)
    assert (chain.view.state, chain.view.place) == (before, place)
    assert chain.view.tables.omnibus[ISIN] == {UZ: 400}


def test_rows_from_anywhere_give_the_certified_root_or_are_altered(chain: Chain) -> None:
    rows = chain.view.tables.everything(chain.view.place)
    assert View.restore(NETWORK, Profile(), rows).state == chain.view.state
    rows.contracts.clear()
    rows.operations.popitem()
    assert View.restore(NETWORK, Profile(), rows).state != chain.view.state


def test_the_same_messages_make_the_same_blocks(chain: Chain) -> None:
    other = fresh = View.genesis(NETWORK, chain.blocks[0].before.place.epoch, Profile())
    for block in chain.blocks:
        assert fresh.apply(block.messages, block.cut) == block
    assert other.state == chain.view.state


def test_a_pen_signs_for_its_registry() -> None:
    read = unpack(Pen(KZ).bundle(opened("KZ", "kz-1")))
    assert read is not None and read[1].registry == KZ
