"""Swaps, ledgers and settlements that the tests of the core begin from. Times are small integers,
so that a test can be checked by hand."""

import random
from collections.abc import Mapping

from msgspec.structs import replace

from htlc.agreement import (
    Agreement,
    LedgerProfile,
    Limits,
    Pair,
    Role,
    draw_up,
)
from htlc.contract import Answer, Htlc, Refusal, Status
from htlc.coordinator import Clock, Clocks, evolve, propose
from htlc.events import Answered, Decided, Decision, Opened, Proposed, Reason
from htlc.hashlock import HashFunction, Hashlock
from htlc.schedule import Latency
from htlc.settlement import Settlement
from htlc.swap import (
    Amount,
    Leg,
    LockProtocol,
    Party,
    PartySecret,
    Swap,
    cross_currency_dvp,
    dvp,
    ring,
)
from htlc.units import (
    AccountId,
    AssetId,
    Duration,
    Instant,
    LedgerId,
    MemberId,
    Quantity,
    SettlementId,
)

ID = SettlementId("6f1c2d3e-4a5b-4c6d-8e7f-0123456789ab")
CSD, RTGS, FX = LedgerId("csd"), LedgerId("rtgs"), LedgerId("fx")
SHA256 = HashFunction()
SECRET = bytes(range(100, 132))
NOW = Instant(1_000)

LATENCY = Latency(
    finality=Duration(7), lookup=Duration(36), delivery=Duration(30), skew=Duration(5)
)
LIMITS = Limits(
    lock_within=Duration(300), commit_within=Duration(500), recovery=Duration(200), backstop=None
)


SHORT = Limits(lock_within=Duration(495), commit_within=Duration(500), recovery=Duration(200))
"""`lock_by` and `commit_by` are one instant: fewer worlds to explore."""

SHORT_BACKSTOP = Limits(
    lock_within=Duration(495),
    commit_within=Duration(500),
    recovery=Duration(200),
    backstop=Duration(400),
)


def party(name: str) -> Party:
    return Party(member=MemberId(name), account=AccountId(name.lower()))


SELLER, BUYER, DEALER = party("SELLER"), party("BUYER"), party("DEALER")


def amount(ledger: LedgerId, asset: str, quantity: int = 100) -> Amount:
    return Amount(ledger=ledger, asset=AssetId(asset), quantity=Quantity(quantity))


SECURITIES, CASH, DOLLARS = amount(CSD, "ISIN"), amount(RTGS, "EUR"), amount(FX, "USD")


def dvp_swap(id: SettlementId = ID) -> Swap:
    """Leg 0 is the securities, leg 1 the cash."""
    return dvp(id, seller=SELLER, buyer=BUYER, securities=SECURITIES, cash=CASH)


def cross_swap(id: SettlementId = ID) -> Swap:
    return cross_currency_dvp(
        id,
        seller=SELLER,
        buyer=BUYER,
        dealer=DEALER,
        securities=SECURITIES,
        pays=CASH,
        gets=DOLLARS,
    )


def ring_swap(count: int, id: SettlementId = ID) -> Swap:
    return ring(
        id, [(party(f"M{n}"), amount(LedgerId(f"ledger{n}"), f"A{n}")) for n in range(count)]
    )


def hub_swap() -> Swap:
    """Two legs pay the only party that can lead."""
    hub, one, two = party("HUB"), party("ONE"), party("TWO")
    return Swap(
        id=ID,
        legs=(
            amount(LedgerId("a"), "A").leg("IN1", one, hub),
            amount(LedgerId("b"), "B").leg("OUT1", hub, one),
            amount(LedgerId("c"), "C").leg("IN2", two, hub),
            amount(LedgerId("d"), "D").leg("OUT2", hub, two),
        ),
    )


def with_secret(swap: Swap, holder: Party, function: HashFunction = SHA256) -> Swap:
    secret = PartySecret(holder=holder.member, function=function, digest=function.digest(SECRET))
    return changed(swap, secret=secret)


def changed(swap: Swap, **changes: object) -> Swap:
    fields = {name: getattr(swap, name) for name in swap.__struct_fields__}
    return Swap(**(fields | changes))


class Keys:
    """A vault's keys: drawn from a seeded generator, one per pair and role."""

    def __init__(self, rng: random.Random) -> None:
        self.keys = {(pair, role): rng.randbytes(32) for pair in Pair for role in Role}

    def lock(self, pair: Pair, role: Role, function: HashFunction) -> Hashlock:
        return function.lock(self.keys[pair, role])


KEYS = Keys(random.Random(1))


def profile(
    *,
    two_key: bool = True,
    htlc: bool = True,
    functions: tuple[HashFunction, ...] = (SHA256,),
    latency: Latency = LATENCY,
    now: Instant = NOW,
) -> LedgerProfile:
    return LedgerProfile(two_key=two_key, htlc=htlc, functions=functions, latency=latency, now=now)


def profiles(swap: Swap, **abilities: LedgerProfile) -> dict[LedgerId, LedgerProfile]:
    """Every ledger of the swap can do everything, but those named."""
    return {leg.ledger: abilities.get(leg.ledger, profile()) for leg in swap.legs}


def agreement(
    swap: Swap,
    protocol: LockProtocol | None = None,
    *,
    ledgers: Mapping[LedgerId, LedgerProfile] | None = None,
    limits: Limits = LIMITS,
    keys: Keys = KEYS,
) -> Agreement:
    asked = changed(swap, protocol=protocol) if protocol else swap
    drawn = draw_up(asked, ledgers or profiles(swap), limits, keys.lock)
    assert isinstance(drawn, Agreement), drawn
    return drawn


def locking(agreed: Agreement, swap: Swap | None = None) -> Settlement:
    """A settlement whose agreement stands, and of which nothing else is known."""
    swap = swap or dvp_swap()
    state = propose(Proposed(swap=swap, consents=tuple(sorted(swap.payers))))
    return evolve(state, Opened(agreement=agreed))


def two_key(swap: Swap | None = None, limits: Limits = LIMITS) -> Settlement:
    swap = swap or dvp_swap()
    return locking(agreement(swap, LockProtocol.TWO_KEY, limits=limits), swap)


def anchored(swap: Swap | None = None, limits: Limits = LIMITS) -> Settlement:
    """The anchor is leg 0, with two keys."""
    swap = swap or dvp_swap()
    return locking(agreement(swap, LockProtocol.ANCHORED, limits=limits), swap)


def anchored_htlc(swap: Swap | None = None, limits: Limits = LIMITS) -> Settlement:
    """The anchor is leg 1: the cash ledger has no cancellation lock."""
    swap = swap or dvp_swap()
    ledgers = profiles(swap, rtgs=profile(two_key=False))
    return locking(agreement(swap, LockProtocol.ANCHORED, ledgers=ledgers, limits=limits), swap)


def anchored_party(swap: Swap | None = None, limits: Limits = LIMITS) -> Settlement:
    """The buyer holds the secret of the anchor, leg 0, which pays it."""
    return anchored(with_secret(swap or dvp_swap(), BUYER), limits)


def htlc(swap: Swap | None = None, limits: Limits = LIMITS) -> Settlement:
    swap = swap or dvp_swap()
    return locking(agreement(swap, LockProtocol.HTLC, limits=limits), swap)


def htlc_party(swap: Swap | None = None, limits: Limits = LIMITS) -> Settlement:
    return htlc(with_secret(swap or dvp_swap(), BUYER), limits)


BACKSTOP = Limits(
    lock_within=Duration(300),
    commit_within=Duration(500),
    recovery=Duration(200),
    backstop=Duration(1_000),
)


def backstop() -> Settlement:
    return two_key(limits=BACKSTOP)


# ------------------------------------------------------------------ what ledgers answer


def clocks(state: Settlement, at: int, skew: int = 0) -> Clocks:
    return {leg.ledger: Clock(at=Instant(at), skew=Duration(skew)) for leg in state.swap.legs}


def contract(
    state: Settlement, n: int, status: Status = Status.LOCKED, key: bytes | None = None, at: int = 0
) -> Htlc:
    return Htlc(
        terms=state.agreed.legs[n].terms,
        status=status,
        locked_at=NOW,
        ended_at=None if status is Status.LOCKED else Instant(at),
        key=key,
    )


def tell(
    state: Settlement,
    n: int,
    htlc: Htlc | None,
    at: int = NOW + 1,
    *,
    refusal: Refusal | None = None,
    final: bool = True,
) -> Settlement:
    answer = Answer(at=Instant(at), final=final, htlc=htlc, refusal=refusal)
    return evolve(state, Answered(leg=n, answer=answer))


def locked(state: Settlement, *legs: int, at: int = NOW + 1) -> Settlement:
    for n in legs or range(len(state.legs)):
        state = tell(state, n, contract(state, n), at)
    return state


def key_of(state: Settlement, n: int, role: Role, keys: Keys = KEYS) -> bytes:
    terms = state.agreed.legs[n].terms
    if role is Role.EXECUTION and terms.execution_lock.opens(SECRET):
        return SECRET
    return keys.keys[state.agreed.legs[n].pair, role]


def executed(state: Settlement, *legs: int, at: int = NOW + 2) -> Settlement:
    for n in legs:
        key = key_of(state, n, Role.EXECUTION)
        state = tell(state, n, contract(state, n, Status.EXECUTED, key, at), at)
    return state


def cancelled(state: Settlement, *legs: int, at: int = NOW + 2) -> Settlement:
    for n in legs:
        key = key_of(state, n, Role.CANCELLATION)
        state = tell(state, n, contract(state, n, Status.CANCELLED, key, at), at)
    return state


def refunded(state: Settlement, *legs: int, at: int = NOW + 9_999) -> Settlement:
    for n in legs:
        state = tell(state, n, contract(state, n, Status.CANCELLED, None, at), at)
    return state


def absent(
    state: Settlement, n: int, at: int = NOW + 1, refusal: Refusal | None = None
) -> Settlement:
    return tell(state, n, None, at, refusal=refusal)


def decided(
    state: Settlement, decision: Decision, reason: Reason = Reason.ALL_LOCKED
) -> Settlement:
    return evolve(state, Decided(decision=decision, reason=reason))


def committed(state: Settlement) -> Settlement:
    return decided(locked(state), Decision.COMMIT)


def with_expiry(leg: Leg, at: int) -> Leg:
    return replace(leg, expires_at=Instant(at))
