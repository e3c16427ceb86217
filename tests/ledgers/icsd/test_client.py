"""What a light client believes over the years: new members, recoveries, contracts; no old heads."""

import hashlib
import uuid

import msgspec
import pytest

from htlc.contract import Htlc, Status, Terms
from htlc.hashlock import Algorithm, Encoding, Hashlock
from htlc.units import (
    SECOND,
    AccountId,
    Duration,
    HtlcId,
    Instant,
    LedgerId,
    LegId,
    Quantity,
    SettlementId,
)
from ledgers.icsd.client import LightClient, StaleHead
from ledgers.icsd.entry import SIGNATURE_TAG, Certificate, Entry, Hash, Membership, Signed
from ledgers.icsd.epoch import Epoch, RegistryId
from ledgers.icsd.light import Certified, check_contract, prove_contract, prove_epochs
from ledgers.icsd.proof import membership_statement
from ledgers.icsd.recovery import Ballot, Begun, Record, Stop, propose, sign_word
from ledgers.icsd.tree import ForgedProof
from ledgers.port import Execute, Lock
from tests.ledgers.icsd.network import (
    FOUR,
    ISIN,
    NETWORK,
    Chain,
    asked,
    certificate_of,
    epoch_of,
    furnished,
    key_of,
    member,
    operator,
    owner,
)

AGE = Duration(60 * SECOND)
KEY, OTHER_KEY = b"\x01" * 32, b"\x02" * 32
ID = HtlcId(str(uuid.UUID(int=7)))
replace = msgspec.structs.replace


def lock_of(key: bytes) -> Hashlock:
    digest = hashlib.sha256(key).digest()
    return Hashlock(algorithm=Algorithm.SHA256, encoding=Encoding.RAW, digest=digest)


TERMS = Terms(
    id=ID,
    settlement=SettlementId(str(uuid.UUID(int=8))),
    leg=LegId("SECU"),
    payer=AccountId("kz-1"),
    payee=AccountId("uz-1"),
    asset=ISIN,
    quantity=Quantity(30),
    execution_lock=lock_of(KEY),
    cancellation_lock=lock_of(OTHER_KEY),
    lock_by=Instant(2**62),
)


@pytest.fixture
def chain() -> Chain:
    return furnished(Chain())


@pytest.fixture
def client() -> LightClient:
    return LightClient(NETWORK, epoch_of(*FOUR), AGE)


def certified(chain: Chain, place: int, *names: str) -> Certified:
    """A block of the chain with the certificate that its child carries (`Chain.closing`)."""
    block = chain.blocks[place]
    signers = names or chain.registries
    return Certified(header=block.header, certificate=certificate_of(block.statement, *signers))


def accepted(client: LightClient, chain: Chain) -> Hash:
    """The state that the client believes the last final block to have left."""
    found = client.accept(certified(chain, -2), certified(chain, -1), chain.view.at)
    return found.state


# --- contracts -----------------------------------------------------------------------------------


def test_a_settlement_is_proved(chain: Chain, client: LightClient) -> None:
    lock, claim = Lock(terms=TERMS), Execute(id=ID, key=KEY)
    chain.done("KZ", asked(owner("kz-1"), lock), asked(owner("kz-1"), claim))
    proof = prove_contract(chain.view, ID)
    chain.block()
    found = check_contract(proof, ID, accepted(client, chain))
    assert found is not None and found.status is Status.EXECUTED
    open_again = replace(found, status=Status.LOCKED, ended_at=None, key=None)
    for forged in (open_again, None):
        with pytest.raises(ForgedProof, match="otherwise than it is told"):
            check_contract(replace(proof, contract=forged), ID, accepted(client, chain))


def test_that_there_is_no_contract_is_proved_and_none_is_made_up(
    chain: Chain, client: LightClient
) -> None:
    proof = prove_contract(chain.view, ID)
    chain.block()
    assert check_contract(proof, ID, accepted(client, chain)) is None
    made_up = Htlc(terms=TERMS, status=Status.EXECUTED, locked_at=Instant(1))
    with pytest.raises(ForgedProof, match="otherwise than it is told"):
        check_contract(replace(proof, contract=made_up), ID, accepted(client, chain))
    with pytest.raises(ForgedProof, match="parts of the state"):
        check_contract(proof, ID, Hash(bytes(32)))


# --- heads ---------------------------------------------------------------------------------------


def test_an_old_head_says_nothing_of_today(chain: Chain, client: LightClient) -> None:
    block, child = certified(chain, -2), certified(chain, -1)
    at = block.header.at
    assert client.accept(block, child, Instant(at + AGE)) == block.certificate.statement
    with pytest.raises(StaleHead):
        client.accept(block, child, Instant(at + AGE + 1))


def test_both_blocks_need_a_quorum(chain: Chain, client: LightClient) -> None:
    block, child = certified(chain, -2), certified(chain, -1)
    for names in (("AM", "GE"), ("AM", "GE", "TJ")):
        with pytest.raises(ForgedProof, match="not signed by 3 members"):
            client.accept(certified(chain, -2, *names), child, chain.view.at)
        with pytest.raises(ForgedProof, match="not signed by 3 members"):
            client.accept(block, certified(chain, -1, *names), chain.view.at)


def test_a_child_makes_final_only_what_it_carries(chain: Chain, client: LightClient) -> None:
    block, child = certified(chain, -2), certified(chain, -1)
    other = certified(chain, -2, "AM", "GE", "KZ")  # valid, and not the one in the child
    for first, second in ((block, block), (certified(chain, -3), child), (other, child)):
        with pytest.raises(ForgedProof, match="does not make the block final"):
            client.accept(first, second, chain.view.at)


def test_another_network_or_epoch_is_refused(chain: Chain) -> None:
    block, child = certified(chain, -2), certified(chain, -1)
    for other in (
        LightClient(NETWORK, epoch_of(*FOUR, number=2), AGE),
        LightClient(LedgerId("other"), epoch_of(*FOUR), AGE),
    ):
        with pytest.raises(ForgedProof, match="another network, or of members"):
            other.accept(block, child, chain.view.at)


# --- members -------------------------------------------------------------------------------------

FIVE = (*FOUR, "TJ")


def change_to(names: tuple[str, ...], signers: tuple[str, ...]) -> Entry:
    members = tuple(member(name) for name in sorted(names))
    text = membership_statement(NETWORK, 2, members)
    signatures = tuple(
        (RegistryId(name), key_of(name).sign(SIGNATURE_TAG + text)) for name in signers
    )
    change = Membership(epoch=2, members=members, signatures=signatures)
    return Entry(by=operator("KZ"), membership=change)


def test_a_change_of_members_is_followed(chain: Chain, client: LightClient) -> None:
    outcome = chain.done("KZ", change_to(FIVE, ("AM", "GE", "KZ", "TJ")))
    assert outcome.results == (None,)
    proof = prove_epochs(chain.view)
    chain.block()
    decided = certified(chain, -2), certified(chain, -1)
    chain.block()
    chain.registries = FIVE
    chain.block()
    with pytest.raises(ForgedProof, match="members that we do not know"):
        accepted(client, chain)
    wrong = replace(proof, following=epoch_of(*FOUR, number=2, start=6))
    with pytest.raises(ForgedProof, match="not the members that were certified"):
        client.follow(*decided, wrong)
    client.follow(*decided, proof)
    client.follow(*decided, proof)  # twice is once
    assert [epoch.number for epoch in client.epochs] == [1, 2]
    assert accepted(client, chain) == chain.blocks[-2].statement.state
    with pytest.raises(ForgedProof, match="not signed by 4 members"):
        client.accept(certified(chain, -2), certified(chain, -1, *FOUR[:3]), chain.view.at)


def begun(certificate: Certificate, *ballots: str) -> Begun:
    stops = [
        sign_word(
            Stop(network=NETWORK, registry=RegistryId(name), epoch=1, certificate=certificate),
            key_of(name),
        )
        for name in FOUR
    ]
    record = propose(NETWORK, epoch_of(*FOUR), None, stops)
    return Begun(record=record, ballots=tuple(_ballot(name, record) for name in ballots))


def _ballot(name: str, record: Record) -> Signed:
    ballot = Ballot(
        network=NETWORK, registry=RegistryId(name), number=record.number, record=record.hash
    )
    return sign_word(ballot, key_of(name))


def test_a_recovery_is_followed(chain: Chain, client: LightClient) -> None:
    certificate = certificate_of(chain.blocks[-1].statement, *FOUR)
    with pytest.raises(ForgedProof, match="no quorum of members"):
        client.follow_recovery(begun(certificate, "AM", "GE"))
    elsewhere = LightClient(LedgerId("other"), epoch_of(*FOUR), AGE)
    with pytest.raises(ForgedProof, match="no quorum of members"):
        elsewhere.follow_recovery(begun(certificate, *FOUR))
    client.follow_recovery(begun(certificate, "AM", "GE", "KZ"))
    start = chain.view.height + 1
    assert client.epochs[-1] == Epoch(number=2, members=epoch_of(*FOUR).members, start=start)
    chain.view.begin(client.epochs[-1])
    chain.block()
    accepted(client, chain)
    assert chain.blocks[-1].header.epoch == 2
