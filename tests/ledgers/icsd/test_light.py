"""A light client believes signatures and hashes only: each lie in an answer is found."""

import msgspec
import pytest

from htlc.units import AccountId, AssetId
from ledgers.icsd.entry import Cut, Hash, unpack
from ledgers.icsd.light import (
    Certified,
    Follower,
    HoldingProof,
    check_certified,
    check_final,
    check_holding,
    check_issue,
    check_operation,
    prove_holding,
    prove_issue,
    prove_operation,
)
from ledgers.icsd.roots import Part
from ledgers.icsd.tree import ForgedProof
from ledgers.parties import Balance
from tests.ledgers.icsd.network import (
    FOUR,
    ISIN,
    NETWORK,
    Chain,
    certificate_of,
    furnished,
    moved,
    opened,
)

KZ_A, UZ_A, UZ_B = AccountId("KZ-a"), AccountId("UZ-a"), AccountId("UZ-b")
replace = msgspec.structs.replace


@pytest.fixture
def chain() -> Chain:
    """KZ-a holds 100, UZ-a 50, UZ-b nothing; others hold the rest of 1,000."""
    made = furnished(Chain())
    made.done("KZ", opened("KZ", KZ_A))
    made.done("UZ", opened("UZ", UZ_A), opened("UZ", UZ_B))
    made.done("KZ", moved("kz-1", KZ_A, 100, "m-1"), moved("kz-1", UZ_A, 50, "m-2"))
    made.block()
    return made


def root(chain: Chain) -> Hash:
    return chain.view.state.root


def proof(chain: Chain, account: AccountId) -> HoldingProof:
    made = prove_holding(chain.view, account, ISIN)
    assert made is not None
    return made


def certified(chain: Chain) -> list[Certified]:
    """All blocks, each with the certificate that the next one carries."""
    found = []
    for block, child in zip(chain.blocks, chain.blocks[1:], strict=False):
        read = unpack(child.cut)
        assert read is not None and isinstance(read[1], Cut) and read[1].certificate is not None
        found.append(Certified(header=block.header, certificate=read[1].certificate))
    last = chain.blocks[-1]
    own = certificate_of(last.statement, *FOUR)
    return [*found, Certified(header=last.header, certificate=own)]


@pytest.mark.parametrize(("account", "held"), [(KZ_A, 100), (UZ_A, 50), (UZ_B, 0)])
def test_a_holding_is_proved_and_so_is_none(chain: Chain, account: AccountId, held: int) -> None:
    shown = check_holding(proof(chain, account), account, ISIN, root(chain))
    assert shown == Balance(held, 0)


def test_there_is_no_proof_about_what_is_not_there(chain: Chain) -> None:
    assert prove_issue(chain.view, AssetId("XX")) is None
    assert prove_holding(chain.view, KZ_A, AssetId("XX")) is None
    assert prove_holding(chain.view, AccountId("KZ-nobody"), ISIN) is None


def test_an_issue_is_proved_whole(chain: Chain) -> None:
    made = prove_issue(chain.view, ISIN)
    assert made is not None
    issuance = check_issue(made, ISIN, root(chain))
    assert issuance.issued == sum(part.held for part in issuance.parts) == 1_000


def test_another_quantity_is_found_out(chain: Chain) -> None:
    shown = proof(chain, KZ_A)
    assert shown.way.end is not None
    key, summed, _ = shown.way.end
    more = Balance(1_000_000, 0)
    content = more.available.to_bytes(8, "big") + bytes(8)
    forged = replace(shown, way=replace(shown.way, end=(key, summed, content)))
    with pytest.raises(ForgedProof):
        check_holding(forged, KZ_A, ISIN, root(chain))


def test_a_proof_about_another_account_is_none(chain: Chain) -> None:
    with pytest.raises(ForgedProof, match="no proof about KZ-a"):
        check_holding(proof(chain, UZ_A), KZ_A, ISIN, root(chain))
    renamed = replace(proof(chain, UZ_A), account=KZ_A)
    with pytest.raises(ForgedProof, match="the leaf at the end"):
        check_holding(renamed, KZ_A, ISIN, root(chain))


def test_nobody_is_hidden_by_looking_at_another_registry(chain: Chain) -> None:
    """At GE nobody holds anything: no account of KZ is proved absent there."""
    true, other = proof(chain, KZ_A), proof(chain, UZ_B)
    elsewhere = replace(true, registry=other.registry, way=other.way)
    with pytest.raises(ForgedProof, match="KZ-a is not at home at UZ"):
        check_holding(elsewhere, KZ_A, ISIN, root(chain))


def test_a_name_says_nothing_of_a_home(chain: Chain) -> None:
    """UZ opens an account that is named as if KZ had: it is found at UZ, and nowhere else."""
    stray = AccountId("KZ-stray")
    chain.done("UZ", opened("UZ", stray))
    chain.done("KZ", moved(KZ_A, stray, 7, "m-9"))
    shown = proof(chain, stray)
    assert shown.registry == "UZ"
    assert check_holding(shown, stray, ISIN, root(chain)) == Balance(7, 0)
    hidden = replace(shown, registry="KZ", way=proof(chain, KZ_A).way)
    with pytest.raises(ForgedProof, match="KZ-stray is not at home at KZ"):
        check_holding(hidden, stray, ISIN, root(chain))


def test_an_older_state_does_not_pass_for_this_one(chain: Chain) -> None:
    before = proof(chain, KZ_A)
    chain.done("KZ", moved(KZ_A, "kz-1", 1, "m-3"))
    with pytest.raises(ForgedProof, match="not those that were certified"):
        check_holding(before, KZ_A, ISIN, root(chain))


def test_a_different_issue_is_found_out(chain: Chain) -> None:
    made = prove_issue(chain.view, ISIN)
    assert made is not None
    part: Part = made.issuance.parts[0]
    parts = (replace(part, held=part.held + 1), *made.issuance.parts[1:])
    forged = replace(made, issuance=replace(made.issuance, parts=parts, issued=1_001))
    with pytest.raises(ForgedProof, match="stands otherwise"):
        check_issue(forged, ISIN, root(chain))


def test_an_operation_is_proved_with_its_block(chain: Chain) -> None:
    for id in ("m-1", "m-2"):
        made = prove_operation(chain.view, id)
        assert made is not None
        height = chain.view.height - 1
        assert check_operation(made, id, root(chain)) == (chain.view.book.operations[id], height)


def test_an_operation_that_was_not_done_is_not_proved(chain: Chain) -> None:
    assert prove_operation(chain.view, "m-3") is None
    chain.view.undo(chain.blocks.pop())
    chain.view.undo(chain.blocks.pop())
    assert prove_operation(chain.view, "m-1") is None


@pytest.mark.parametrize(
    ("id", "forge"),
    [
        ("m-2", {}),
        ("m-1", {"known": bytes(32)}),
        ("m-1", {"known": b""}),
        ("m-1", {"position": 1}),
        ("m-1", {"path": ()}),
        ("m-1", {"height": 1}),
        ("m-1", {"height": -1}),
        ("m-1", {"height": 1 << 40}),
    ],
)
def test_another_operation_is_found_out(chain: Chain, id: str, forge: dict[str, object]) -> None:
    made = prove_operation(chain.view, "m-1")
    assert made is not None
    with pytest.raises(ForgedProof):
        check_operation(replace(made, **forge), id, root(chain))


def test_a_chain_is_followed_to_its_head(chain: Chain) -> None:
    follower = Follower(NETWORK, chain.view.epoch)
    for shown in certified(chain):
        follower.take(shown)
    assert (follower.height, follower.head) == (chain.view.height, chain.view.head)


def test_a_chain_with_another_block_in_it_is_not_followed(chain: Chain) -> None:
    blocks = certified(chain)
    later = replace(blocks[2].header, at=blocks[2].header.at + 1)
    follower = Follower(NETWORK, chain.view.epoch)
    for shown in blocks[:2]:
        follower.take(shown)
    with pytest.raises(ForgedProof, match="not of this block"):
        follower.take(replace(blocks[2], header=later))
    with pytest.raises(ForgedProof, match="expected block 3"):
        follower.take(blocks[3])


def test_too_few_signatures_certify_nothing(chain: Chain) -> None:
    last = chain.blocks[-1]
    few = Certified(header=last.header, certificate=certificate_of(last.statement, *FOUR[:2]))
    with pytest.raises(ForgedProof, match="not signed by 3 members"):
        check_certified(few, chain.view.epoch)


def test_a_block_is_final_with_its_child_and_not_without(chain: Chain) -> None:
    *_, block, child = certified(chain)
    check_final(block, child, chain.view.epoch)
    with pytest.raises(ForgedProof, match="does not make"):
        check_final(block, block, chain.view.epoch)
