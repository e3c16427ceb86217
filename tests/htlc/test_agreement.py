"""From a swap to an agreement: which protocol, which locks, which times, and what is refused."""

import hashlib
from itertools import product

import pytest
from msgspec.structs import replace

from htlc.agreement import (
    Agreement,
    LedgerProfile,
    Pair,
    PrincipalRisk,
    Role,
    choose,
    draw_up,
    htlc_id,
)
from htlc.hashlock import Algorithm, Encoding, HashFunction
from htlc.swap import Fault, LockProtocol, Party, Swap
from htlc.units import Duration, Instant, LegId, SettlementId
from tests.htlc import samples
from tests.htlc.samples import (
    BUYER,
    CSD,
    ID,
    KEYS,
    LATENCY,
    LIMITS,
    NOW,
    RTGS,
    SELLER,
    agreement,
    changed,
    cross_swap,
    dvp_swap,
    profile,
    profiles,
    with_expiry,
    with_secret,
)

BOTH, TWO, OLD, NEITHER = (
    profile(),
    profile(htlc=False),
    profile(two_key=False),
    profile(two_key=False, htlc=False),
)
NAMES = {"both": BOTH, "two_key": TWO, "htlc": OLD, "neither": NEITHER}
SM3 = HashFunction(algorithm=Algorithm.SM3)


def refused(swap: Swap, ledgers: object = None, limits: object = LIMITS) -> list[str]:
    drawn = draw_up(swap, ledgers or profiles(swap), limits, KEYS.lock)  # type: ignore[arg-type]
    assert isinstance(drawn, tuple), drawn
    assert all(fault.rule for fault in drawn)
    return [fault.field for fault in drawn]


def expected(*abilities: LedgerProfile) -> LockProtocol | None:
    """The table of the protocols, said in another way than in the code."""
    without = [ability for ability in abilities if not ability.two_key]
    if not without:
        return LockProtocol.TWO_KEY
    if len(without) == 1 and without[0].htlc:
        return LockProtocol.ANCHORED
    return LockProtocol.HTLC if all(ability.htlc for ability in abilities) else None


@pytest.mark.parametrize("names", list(product(NAMES, repeat=3)))
def test_the_strongest_protocol_that_all_ledgers_allow_is_chosen(names: tuple[str, ...]) -> None:
    abilities = [NAMES[name] for name in names]
    chosen = choose(cross_swap(), abilities)
    wanted = expected(*abilities)
    assert chosen is wanted if wanted else isinstance(chosen, Fault)


@pytest.mark.parametrize(
    ("protocol", "legs", "rule"),
    [
        (LockProtocol.TWO_KEY, (TWO, OLD), "without cancellation locks"),
        (LockProtocol.ANCHORED, (OLD, OLD), "more than one leg"),
        (LockProtocol.ANCHORED, (TWO, NEITHER), "no expiring locks"),
        (LockProtocol.HTLC, (TWO, OLD), "without expiring locks"),
    ],
)
def test_a_protocol_that_was_asked_for_and_cannot_be_served_is_refused_with_its_rule(
    protocol: LockProtocol, legs: tuple[LedgerProfile, ...], rule: str
) -> None:
    fault = choose(changed(dvp_swap(), protocol=protocol), legs)
    assert isinstance(fault, Fault)
    assert fault.field == "protocol" and rule in fault.rule


def test_an_anchor_needs_an_expiry_only_without_a_cancellation_lock_or_with_a_partys_secret() -> (
    None
):
    two = {CSD: TWO, RTGS: TWO}
    agreed = agreement(dvp_swap(), LockProtocol.ANCHORED, ledgers=two)
    assert agreed.legs[0].terms.expires_at is None
    swap = changed(with_secret(dvp_swap(), BUYER), protocol=LockProtocol.ANCHORED)
    assert refused(swap, two) == ["protocol"]
    assert agreement(swap).legs[0].terms.expires_at is not None


def test_a_weaker_protocol_may_be_asked_for() -> None:
    for protocol in LockProtocol:
        assert agreement(dvp_swap(), protocol).protocol is protocol


def test_two_key_has_one_pair_of_hashes_on_all_legs_and_no_expiry() -> None:
    agreed = agreement(dvp_swap(), LockProtocol.TWO_KEY)
    for leg in agreed.legs:
        assert leg.terms.execution_lock.opens(KEYS.keys[Pair.LEGS, Role.EXECUTION])
        assert leg.terms.cancellation_lock is not None
        assert leg.terms.cancellation_lock.opens(KEYS.keys[Pair.LEGS, Role.CANCELLATION])
        assert leg.terms.expires_at is None and leg.margin == 0
    assert agreed.risk is PrincipalRisk.NONE and agreed.outage_max is None


def test_anchored_gives_the_anchor_hashes_of_its_own() -> None:
    agreed = agreement(dvp_swap(), LockProtocol.ANCHORED)
    assert agreed.anchor == 0 and agreed.risk is PrincipalRisk.NONE
    assert [leg.pair for leg in agreed.legs] == [Pair.ANCHOR, Pair.LEGS]
    hashes = {leg.terms.execution_lock.digest for leg in agreed.legs}
    hashes |= {
        leg.terms.cancellation_lock.digest for leg in agreed.legs if leg.terms.cancellation_lock
    }
    assert len(hashes) == 4


def test_the_anchor_is_the_leg_without_a_cancellation_lock_and_has_an_expiry() -> None:
    agreed = samples.anchored_htlc().agreed
    assert agreed.anchor == 1
    anchor = agreed.legs[1]
    assert anchor.terms.cancellation_lock is None and anchor.margin == LATENCY.claim
    assert anchor.terms.expires_at == agreed.commit_by + 2 * LATENCY.claim
    assert agreed.legs[0].terms.expires_at is None


@pytest.mark.parametrize(("holder", "anchor"), [(BUYER, 0), (SELLER, 1)])
def test_the_anchor_of_a_partys_secret_is_the_leg_that_pays_it(holder: Party, anchor: int) -> None:
    agreed = agreement(with_secret(dvp_swap(), holder))
    assert agreed.protocol is LockProtocol.ANCHORED and agreed.holder == holder.member
    assert agreed.anchor == anchor
    assert agreed.legs[anchor].terms.execution_lock.opens(samples.SECRET)
    assert not agreed.legs[1 - anchor].terms.execution_lock.opens(samples.SECRET)


def test_ledgers_may_hash_differently_when_the_vault_holds_the_keys() -> None:
    ledgers = profiles(dvp_swap(), rtgs=profile(functions=(SM3,)))
    for protocol in LockProtocol:
        agreed = agreement(dvp_swap(), protocol, ledgers=ledgers)
        functions = [leg.terms.execution_lock.function for leg in agreed.legs]
        assert functions == [samples.SHA256, SM3]
        key = KEYS.keys[agreed.legs[1].pair, Role.EXECUTION]
        assert agreed.legs[1].terms.execution_lock.opens(key)


@pytest.mark.parametrize("encoding", list(Encoding))
def test_one_party_held_hash_on_two_ledgers_needs_one_algorithm_and_encoding(
    encoding: Encoding,
) -> None:
    ledgers = profiles(dvp_swap(), rtgs=profile(functions=(HashFunction(encoding=encoding),)))
    swap = changed(with_secret(dvp_swap(), BUYER), protocol=LockProtocol.HTLC)
    if encoding is Encoding.RAW:
        assert agreement(swap, ledgers=ledgers).holder == BUYER.member
    else:
        assert refused(swap, ledgers) == ["protocol"]


def test_an_anchor_that_does_not_hash_like_the_secret_is_refused() -> None:
    swap = changed(with_secret(dvp_swap(), BUYER, SM3), protocol=LockProtocol.ANCHORED)
    assert refused(swap) == ["protocol"]


def test_two_key_keeps_its_keys_in_the_vault() -> None:
    swap = changed(with_secret(dvp_swap(), BUYER), protocol=LockProtocol.TWO_KEY)
    assert refused(swap) == ["protocol"]


def test_a_secret_whose_holder_cannot_lead_is_refused_for_htlc() -> None:
    hub = samples.hub_swap()
    one = samples.party("ONE")
    assert refused(changed(with_secret(hub, one), protocol=LockProtocol.HTLC)) == ["protocol"]
    agreement(changed(with_secret(hub, samples.party("HUB")), protocol=LockProtocol.HTLC))


def test_a_swap_without_a_leader_is_refused_for_htlc_and_served_by_two_key() -> None:
    everyone = [samples.party(name) for name in "ABC"]
    x = samples.amount(CSD, "X")
    legs = tuple(x.leg(f"{p.member}{q.member}", p, q) for p in everyone for q in everyone if p != q)
    swap = Swap(id=ID, legs=legs)
    assert refused(changed(swap, protocol=LockProtocol.HTLC)) == ["protocol"]
    assert agreement(swap).protocol is LockProtocol.TWO_KEY


def test_commit_by_lies_in_the_future_of_the_clock_at_its_latest() -> None:
    skew = LATENCY.skew
    assert refused(changed(dvp_swap(), commit_by=Instant(NOW + skew))) == ["commit_by"]
    assert agreement(changed(dvp_swap(), commit_by=Instant(NOW + skew + 1))).commit_by == 1_006


def test_lock_by_is_soon_and_never_after_commit_by() -> None:
    agreed = agreement(dvp_swap())
    assert {leg.terms.lock_by for leg in agreed.legs} == {NOW + 300 + LATENCY.skew}
    hurried = agreement(changed(dvp_swap(), commit_by=Instant(NOW + 100)))
    assert {leg.terms.lock_by for leg in hurried.legs} == {NOW + 100}


@pytest.mark.parametrize("protocol", [LockProtocol.TWO_KEY, LockProtocol.ANCHORED])
def test_an_expiry_on_a_two_key_leg_is_refused(protocol: LockProtocol) -> None:
    swap = dvp_swap()
    legs = (swap.legs[0], with_expiry(swap.legs[1], 9_999))
    assert refused(changed(swap, legs=legs, protocol=protocol)) == ["legs[1].expires_at"]


def test_the_expiry_of_an_anchor_leaves_its_claim_after_commit_by() -> None:
    ledgers = profiles(dvp_swap(), rtgs=OLD)

    def swap(at: int) -> Swap:
        legs = (dvp_swap().legs[0], with_expiry(dvp_swap().legs[1], at))
        return changed(dvp_swap(), legs=legs, commit_by=Instant(2_000))

    soonest = 2_000 + LATENCY.claim
    assert refused(swap(soonest - 1), ledgers) == ["legs[1].expires_at"]
    assert agreement(swap(soonest), ledgers=ledgers).legs[1].terms.expires_at == soonest


def test_expiries_in_an_unsafe_order_are_refused_by_name_and_leg() -> None:
    swap = dvp_swap()
    window = 7 + 2 * 36 + 5 + 200 + 30 + 5

    def asked(later: int) -> Swap:
        legs = (with_expiry(swap.legs[0], 5_000 + later), with_expiry(swap.legs[1], 5_000))
        return changed(swap, legs=legs, protocol=LockProtocol.HTLC)

    assert agreement(asked(window)).outage_max == LIMITS.recovery
    drawn = draw_up(asked(window - 1), profiles(swap), LIMITS, KEYS.lock)
    assert isinstance(drawn, tuple)
    assert drawn[0].field == "legs[0].expires_at"
    assert drawn[0].rule.startswith("UNSAFE_EXPIRY_ORDER")


def test_an_expiry_nearer_to_commit_by_than_its_margin_is_refused() -> None:
    swap = dvp_swap()
    margin = agreement(swap, LockProtocol.HTLC).legs[1].margin

    def asked(at: int) -> Swap:
        legs = (swap.legs[0], with_expiry(swap.legs[1], at))
        return changed(swap, legs=legs, protocol=LockProtocol.HTLC, commit_by=Instant(2_000))

    assert refused(asked(2_000 + margin)) == ["legs[1].expires_at"]
    assert isinstance(agreement(asked(2_000 + margin + 1)), Agreement)


def test_htlc_says_its_residual_risk_and_the_outage_it_survives() -> None:
    agreed = agreement(dvp_swap(), LockProtocol.HTLC)
    assert agreed.risk is PrincipalRisk.RESIDUAL and agreed.outage_max == LIMITS.recovery
    assert not agreed.backstop
    longer = agreement(
        dvp_swap(), LockProtocol.HTLC, limits=replace(LIMITS, recovery=Duration(5_000))
    )
    assert longer.outage_max == 5_000


def test_the_id_of_a_lock_belongs_to_its_settlement_and_leg() -> None:
    """The head of the UUID, then SHA-256 of both names."""
    tail = hashlib.sha256(f"{ID}/CASH".encode()).hexdigest()[:12]
    assert htlc_id(ID, LegId("CASH")) == f"6f1c2d3e-4a5b-4c6d-8e7f-{tail}"
    other = SettlementId(ID.replace("6f1c", "7f1c"))
    ids = {htlc_id(s, LegId(leg)) for s in (ID, other) for leg in ("CASH", "SECU", "R1", "R11")}
    assert len(ids) == 8
    assert [leg.terms.id for leg in agreement(dvp_swap()).legs] == [
        htlc_id(ID, LegId("SECU")),
        htlc_id(ID, LegId("CASH")),
    ]
