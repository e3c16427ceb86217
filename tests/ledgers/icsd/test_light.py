"""What a light client believes and what not: every forgery that a node could show has a name."""

import hashlib
import uuid

import msgspec
import pytest

from htlc.contract import Htlc, Status, Terms
from htlc.hashlock import Algorithm, Encoding, Hashlock
from htlc.units import (
    SECOND,
    AccountId,
    AssetId,
    Duration,
    HtlcId,
    Instant,
    LegId,
    Quantity,
    SettlementId,
)
from ledgers.icsd.entry import SIGNATURE_TAG, Entry, Hash, Membership, verified
from ledgers.icsd.epoch import Epoch, RegistryId
from ledgers.icsd.light import (
    EpochProof,
    FinalHead,
    LightClient,
    Snapshot,
    StaleHead,
    prove_contract,
    prove_holding,
)
from ledgers.icsd.proof import certificate_hash, membership_statement
from ledgers.icsd.recovery import Ballot, Begun, Stop, propose, sign_word
from ledgers.icsd.tree import ForgedProof
from ledgers.parties import Balance
from ledgers.port import Execute, Lock
from tests.ledgers.icsd.network import (
    FOUR,
    ISIN,
    KZ,
    NETWORK,
    UZ,
    Net,
    asked,
    certificate_of,
    defined,
    epoch_of,
    issued,
    key_of,
    member,
    moved,
    opened,
    operator,
    owner,
)

AGE = Duration(60 * SECOND)
KEY, OTHER_KEY = b"\x01" * 32, b"\x02" * 32
ID = HtlcId(str(uuid.UUID(int=7)))


def lock_of(key: bytes) -> Hashlock:
    digest = hashlib.sha256(key).digest()
    return Hashlock(algorithm=Algorithm.SHA256, encoding=Encoding.RAW, digest=digest)


def terms(net: Net) -> Terms:
    return Terms(
        id=ID,
        settlement=SettlementId(str(uuid.UUID(int=8))),
        leg=LegId("SECU"),
        payer=AccountId("kz-1"),
        payee=AccountId("uz-1"),
        asset=ISIN,
        quantity=Quantity(30),
        execution_lock=lock_of(KEY),
        cancellation_lock=lock_of(OTHER_KEY),
        lock_by=Instant(net.now + 600 * SECOND),
    )


@pytest.fixture(scope="module")
def net() -> Net:
    """1,000 issued at KZ; 400 with uz-1, 30 more by an executed contract; all final."""
    net = Net()
    net.bundle(
        "KZ",
        opened("KZ", "kz-issue", "kz-issuer"),
        opened("KZ", "kz-1"),
        defined("KZ", ISIN, "kz-issue", "kz-issuer"),
        issued("kz-issuer", "kz-1", 1_000, "i"),
    )
    net.bundle("UZ", opened("UZ", "uz-1"), opened("UZ", "uz-2"))
    net.run(4)
    net.bundle(
        "KZ",
        moved("kz-1", "uz-1", 400, "m"),
        asked(owner("kz-1"), Lock(terms=terms(net))),
        asked(owner("kz-1"), Execute(id=ID, key=KEY)),
    )
    net.run(12)
    return net


@pytest.fixture
def client() -> LightClient:
    return LightClient(NETWORK, epoch_of(*FOUR), AGE)


def shown(net: Net, name: str = "GE") -> tuple[FinalHead, Snapshot]:
    found = net.replicas[name].final_head
    assert found is not None
    return found


def contract(net: Net) -> Htlc:
    found = net.replicas["GE"].view.book.contracts[ID]
    assert found is not None
    return found


# --- what is true is believed --------------------------------------------------------------------


def test_a_holding_is_proved_by_any_node(net: Net, client: LightClient) -> None:
    for name in FOUR:
        proof = prove_holding(*shown(net, name), ISIN, UZ, AccountId("uz-1"))
        found = client.holding(proof, ISIN, UZ, AccountId("uz-1"), net.now)
        assert found == Balance(430, 0)


def test_that_somebody_has_nothing_is_proved(net: Net, client: LightClient) -> None:
    for asset, registry, account in (
        (ISIN, UZ, "uz-2"),  # no leaf in the tree of the registry
        (ISIN, RegistryId("GE"), "ge-1"),  # no tree of the registry
        (AssetId("XX0000000000"), UZ, "uz-1"),  # no instrument
    ):
        proof = prove_holding(*shown(net), asset, registry, AccountId(account))
        found = client.holding(proof, asset, registry, AccountId(account), net.now)
        assert found == Balance()


def test_an_issue_is_proved_whole(net: Net, client: LightClient) -> None:
    proof = prove_holding(*shown(net), ISIN, KZ, AccountId("kz-1"))
    issuance = client.issuance(proof, ISIN, net.now)
    assert issuance is not None and issuance.issued == 1_000
    held = {part.registry: (part.held, part.omnibus) for part in issuance.parts}
    assert held == {"KZ": (570, None), "UZ": (430, 430)}


def test_a_settlement_is_proved(net: Net, client: LightClient) -> None:
    proof = prove_contract(*shown(net), ID, contract(net))
    assert client.is_settled(proof, ID, net.now)
    none = HtlcId(str(uuid.UUID(int=9)))
    assert not client.is_settled(prove_contract(*shown(net), none, None), none, net.now)


# --- what is not, is not -------------------------------------------------------------------------


def altered(net: Net, **changed: object) -> FinalHead:
    return msgspec.structs.replace(shown(net)[0], **changed)


def refused(net: Net, client: LightClient, head: FinalHead, why: str) -> None:
    proof = prove_contract(head, shown(net)[1], ID, contract(net))
    with pytest.raises(ForgedProof, match=why):
        client.contract(proof, ID, net.now)


def test_a_head_needs_a_quorum_of_the_members(net: Net, client: LightClient) -> None:
    statement = shown(net)[0].certificate.statement
    for names in (("GE", "KZ"), ("GE", "KZ", "TJ"), ("GE", "KZ", "KZ")):
        few = certificate_of(statement, *names)
        refused(net, client, altered(net, certificate=few), "no quorum")
    statement = shown(net)[0].child_certificate.statement
    few = certificate_of(statement, "GE", "KZ")
    refused(net, client, altered(net, child_certificate=few), "no quorum")


def test_a_certificate_is_of_its_block(net: Net, client: LightClient) -> None:
    head = shown(net)[0]
    other = msgspec.structs.replace(head.header, at=Instant(head.header.at + 1))
    refused(net, client, altered(net, header=other), "another block")
    swapped = altered(net, certificate=head.child_certificate)
    refused(net, client, swapped, "another block")


def test_a_certified_block_without_its_child_is_not_final(net: Net, client: LightClient) -> None:
    """The child must name the block, follow it, and carry the certificate that is shown."""
    head = shown(net)[0]
    itself = altered(net, child=head.header, child_certificate=head.certificate)
    refused(net, client, itself, "does not make the block final")
    other = certificate_of(head.certificate.statement, *FOUR)
    assert other != head.certificate
    refused(net, client, altered(net, certificate=other), "does not make the block final")


def test_another_network_or_epoch_is_refused(net: Net, client: LightClient) -> None:
    proof = prove_contract(*shown(net), ID, contract(net))
    stranger = LightClient(NETWORK, epoch_of(*FOUR, number=2), AGE)
    elsewhere = LightClient("other", epoch_of(*FOUR), AGE)  # type: ignore[arg-type]
    for other in (stranger, elsewhere):
        with pytest.raises(ForgedProof, match="another network or epoch"):
            other.contract(proof, ID, net.now)


def test_an_old_head_says_nothing_of_today(net: Net, client: LightClient) -> None:
    proof = prove_contract(*shown(net), ID, contract(net))
    at = proof.head.header.at
    assert client.contract(proof, ID, Instant(at + AGE)) is not None
    with pytest.raises(StaleHead):
        client.contract(proof, ID, Instant(at + AGE + 1))


def test_another_state_is_refused(net: Net, client: LightClient) -> None:
    head, known = shown(net)
    state = msgspec.structs.replace(known.state, records=Hash(bytes(32)))
    forged = msgspec.structs.replace(known, state=state)
    proof = prove_contract(head, forged, ID, None)
    with pytest.raises(ForgedProof, match="parts of the certified state"):
        client.contract(proof, ID, net.now)


def test_another_holding_is_refused(net: Net, client: LightClient) -> None:
    account = AccountId("uz-1")
    proof = prove_holding(*shown(net), ISIN, UZ, account)
    assert proof.issuance is not None and proof.holding is not None
    more = msgspec.structs.replace(proof.issuance, issued=2_000)
    end = (proof.holding.end[0], 431, proof.holding.end[2])  # type: ignore[index]
    richer = msgspec.structs.replace(proof.holding, end=end)
    for change, why in (
        ({"issuance": more}, "not the one that was certified"),
        ({"issuance": None}, "not the one that was certified"),
        ({"holding": None}, "held back"),
        ({"holding": richer}, "does not lead"),
    ):
        with pytest.raises(ForgedProof, match=why):
            client.holding(msgspec.structs.replace(proof, **change), ISIN, UZ, account, net.now)


def test_a_quorum_that_certifies_what_does_not_add_up_is_not_believed(
    net: Net, client: LightClient
) -> None:
    head, known = shown(net)
    roots = known.roots.copy()
    issuance = roots.issuances[ISIN]
    roots.list({ISIN: msgspec.structs.replace(issuance, issued=999)})
    holdings = Hash(roots.instruments.hash)  # type: ignore[union-attr]
    state = msgspec.structs.replace(known.state, holdings=holdings)
    statement = msgspec.structs.replace(head.certificate.statement, state=state.root)
    certificate = certificate_of(statement, *FOUR)
    forged = _with_child(msgspec.structs.replace(head, certificate=certificate))
    proof = prove_holding(forged, Snapshot(state=state, roots=roots), ISIN, KZ, AccountId("kz-1"))
    with pytest.raises(ForgedProof, match="does not add up"):
        client.issuance(proof, ISIN, net.now)


def _with_child(head: FinalHead) -> FinalHead:
    """The child as a dishonest quorum would sign it."""
    child = msgspec.structs.replace(head.child, certificate=certificate_hash(head.certificate))
    statement = msgspec.structs.replace(head.child_certificate.statement, block=child.hash)
    return msgspec.structs.replace(
        head, child=child, child_certificate=certificate_of(statement, *FOUR)
    )


def test_another_contract_is_refused(net: Net, client: LightClient) -> None:
    true = contract(net)
    open_again = msgspec.structs.replace(true, status=Status.LOCKED, ended_at=None, key=None)
    for contract_shown in (open_again, None):
        proof = prove_contract(*shown(net), ID, contract_shown)
        with pytest.raises(ForgedProof, match="not the one that was certified"):
            client.contract(proof, ID, net.now)


# --- members -------------------------------------------------------------------------------------


def change_to(epoch: Epoch, names: tuple[str, ...], signers: tuple[str, ...]) -> Entry:
    members = tuple(member(name) for name in sorted(names))
    text = membership_statement(NETWORK, epoch.number + 1, members)
    signatures = tuple(
        (RegistryId(name), key_of(name).sign(SIGNATURE_TAG + text)) for name in signers
    )
    assert all(verified(s, text, epoch_of(n).members[0].public_key) for n, s in signatures)
    change = Membership(epoch=epoch.number + 1, members=members, signatures=signatures)
    return Entry(by=operator("KZ"), membership=change)


def test_a_light_client_follows_a_change_of_members(client: LightClient) -> None:
    net, five = Net(), (*FOUR, "TJ")
    net.bundle("KZ", change_to(epoch_of(*FOUR), five, ("AM", "GE", "KZ", "TJ")))
    net.run(4)
    head, known = shown(net)
    view = net.replicas["GE"].view
    following = epoch_of(*five, number=2, start=3)
    decided = EpochProof(head=head, state=known.state, epoch=epoch_of(*FOUR), following=following)
    net.run(170)
    assert view.epoch == following and net.replicas["GE"].final > 3
    later = shown(net)
    proof = prove_contract(*later, ID, None)
    with pytest.raises(ForgedProof, match="another network or epoch"):
        client.contract(proof, ID, net.now)
    wrong = msgspec.structs.replace(decided, following=epoch_of(*FOUR, number=2, start=3))
    with pytest.raises(ForgedProof, match="not the members that were certified"):
        client.follow(wrong)
    client.follow(decided)
    assert client.contract(proof, ID, net.now) is None


def test_a_light_client_follows_a_recovery(net: Net, client: LightClient) -> None:
    epoch, certificate = epoch_of(*FOUR), net.replicas["KZ"].certified
    stops = [
        sign_word(
            Stop(network=NETWORK, registry=RegistryId(n), epoch=1, certificate=certificate),
            key_of(n),
        )
        for n in FOUR
    ]
    record = propose(NETWORK, epoch, None, stops)
    ballots = tuple(
        sign_word(
            Ballot(
                network=NETWORK, registry=RegistryId(n), number=record.number, record=record.hash
            ),
            key_of(n),
        )
        for n in FOUR
    )
    with pytest.raises(ForgedProof, match="no quorum"):
        client.follow_recovery(Begun(record=record, ballots=ballots[:2]))
    client.follow_recovery(Begun(record=record, ballots=ballots))
    assert client.epochs[-1] == Epoch(number=2, members=epoch.members, start=record.start)
    old = prove_contract(*shown(net), ID, contract(net))
    with pytest.raises(ForgedProof):  # its child is of an epoch that did not reach it
        late = msgspec.structs.replace(record, start=old.head.child.height)
        client.epochs = [epoch, Epoch(number=2, members=epoch.members, start=late.start)]
        client.contract(old, ID, net.now)
