"""What every ledger must do: one suite, given to each implementation.

A check is a coroutine over a `World` (see `worlds.py`): a ledger with three funded or empty
accounts and a clock that the test moves. Whoever writes a ledger of his own gives it a World and
runs `CHECKS`; each docstring is the rule that it checks.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from htlc.contract import Answer, Htlc, Refusal, Status, Terms, Unknown
from htlc.hashlock import PROBE_PREIMAGE, Encoding, HashFunction
from htlc.units import QUANTITY_MAX, SECOND, AccountId, AssetId, HtlcId, Instant, Quantity
from ledgers.port import (
    Cancel,
    Execute,
    Fact,
    Issue,
    Lock,
    Operation,
    Redeem,
    Refund,
    Transfer,
)
from tests.ledgers.worlds import (
    ALICE,
    ALICE_ACCOUNT,
    ALICE_SECOND,
    BOB,
    BOB_ACCOUNT,
    CANCELLATION_KEY,
    CENTRAL_BANK,
    EUR,
    EXECUTION_KEY,
    FUNDS,
    GATEWAY,
    KECCAK,
    RESERVES,
    SHA256,
    SM3,
    World,
    new_id,
)

WRONG_KEY: Final = bytes([9]) * 32


async def tell(world: World, *operations: Operation, by: object = GATEWAY) -> list[Answer]:
    """The answers to one call; each operation is answered."""
    answers = await world.as_(by).apply(operations)  # type: ignore[arg-type]
    assert len(answers) == len(operations)
    assert not any(isinstance(answer, Unknown) for answer in answers), answers
    return list(answers)  # type: ignore[arg-type]


async def refusal(world: World, operation: Operation, by: object = GATEWAY) -> Refusal | None:
    [answer] = await tell(world, operation, by=by)
    return answer.refusal


async def status(world: World, id: HtlcId) -> Status | None:
    [answer] = await world.as_(GATEWAY).look([id])
    assert isinstance(answer, Answer)
    return answer.htlc.status if answer.htlc else None


async def available(world: World, owner: object, account: AccountId) -> int:
    """What an account can still lock: the largest lock that is taken, found by halving. A key
    cancels each trial in the same batch."""
    low, high = 0, 4 * FUNDS
    while low < high:
        middle = (low + high + 1) // 2
        terms = world.terms(
            payer=account,
            payee=BOB_ACCOUNT if account != BOB_ACCOUNT else ALICE_ACCOUNT,
            quantity=middle,
        )
        cancel = Cancel(id=terms.id, key=CANCELLATION_KEY)
        taken, cancelled = await tell(world, Lock(terms=terms), cancel, by=owner)
        if taken.refusal is None:
            assert cancelled.refusal is None
            low = middle
        else:
            high = middle - 1
    return low


async def locked(world: World, **changes: object) -> Terms:
    terms = world.terms(**changes)
    assert await refusal(world, Lock(terms=terms)) is None
    return terms


# --- locks and their ends ------------------------------------------------------------------------


async def check_a_lock_takes_the_quantity_from_what_is_available(world: World) -> None:
    terms = await locked(world, quantity=300)
    [answer] = await world.as_(GATEWAY).look([terms.id])
    expected = Htlc(terms=terms, status=Status.LOCKED, locked_at=world.clock.at)
    assert answer == Answer(at=world.clock.at, htlc=expected)
    assert await available(world, ALICE, ALICE_ACCOUNT) == FUNDS - 300


async def check_an_execute_pays_the_payee_and_keeps_the_key(world: World) -> None:
    terms = await locked(world, quantity=300)
    [answer] = await tell(world, Execute(id=terms.id, key=EXECUTION_KEY))
    assert answer.refusal is None and answer.final and answer.htlc is not None
    assert answer.htlc.status is Status.EXECUTED and answer.htlc.key == EXECUTION_KEY
    assert answer.htlc.ended_at == world.clock.at
    assert await available(world, ALICE, ALICE_ACCOUNT) == FUNDS - 300
    assert await available(world, BOB, BOB_ACCOUNT) == FUNDS + 300


async def check_a_cancel_gives_back_and_keeps_the_key(world: World) -> None:
    terms = await locked(world, quantity=300)
    [answer] = await tell(world, Cancel(id=terms.id, key=CANCELLATION_KEY))
    assert answer.htlc is not None and answer.htlc.status is Status.CANCELLED
    assert answer.htlc.key == CANCELLATION_KEY
    assert await available(world, ALICE, ALICE_ACCOUNT) == FUNDS
    assert await available(world, BOB, BOB_ACCOUNT) == FUNDS


async def check_anyone_with_the_key_may_execute_and_the_payout_is_fixed(world: World) -> None:
    terms = await locked(world, quantity=300)
    assert await refusal(world, Execute(id=terms.id, key=EXECUTION_KEY), by=CENTRAL_BANK) is None
    assert await available(world, BOB, BOB_ACCOUNT) == FUNDS + 300


async def check_each_key_opens_only_its_own_side(world: World) -> None:
    terms = await locked(world)
    wrong = [
        Execute(id=terms.id, key=CANCELLATION_KEY),
        Cancel(id=terms.id, key=EXECUTION_KEY),
        Execute(id=terms.id, key=WRONG_KEY),
    ]
    answers = await tell(world, *wrong)
    assert [answer.refusal for answer in answers] == [Refusal.WRONG_KEY] * 3
    assert await status(world, terms.id) is Status.LOCKED


async def check_a_key_of_another_length_is_a_wrong_key(world: World) -> None:
    """Even one whose digest is that of the lock: a preimage has 32 bytes on every ledger."""
    for key in (b"", EXECUTION_KEY[:31], EXECUTION_KEY + b"\0", b"x" * 100):
        lock = msgspec.structs.replace(SHA256.lock(EXECUTION_KEY), digest=SHA256.digest(key))
        terms = await locked(world, execution_lock=lock)
        assert await refusal(world, Execute(id=terms.id, key=key)) is Refusal.WRONG_KEY


async def check_an_ended_contract_tells_how_it_ended_whatever_is_asked(world: World) -> None:
    done, undone = await locked(world), await locked(world)
    await tell(
        world,
        Execute(id=done.id, key=EXECUTION_KEY),
        Cancel(id=undone.id, key=CANCELLATION_KEY),
    )
    answers = await tell(
        world,
        Cancel(id=done.id, key=CANCELLATION_KEY),
        Refund(id=done.id),
        Execute(id=done.id, key=WRONG_KEY),
        Execute(id=undone.id, key=EXECUTION_KEY),
        Refund(id=undone.id),
        Cancel(id=undone.id, key=WRONG_KEY),
    )
    executed, cancelled = Refusal.ALREADY_EXECUTED, Refusal.ALREADY_CANCELLED
    assert [answer.refusal for answer in answers] == [executed] * 3 + [cancelled] * 3
    told = [answer.htlc.status for answer in answers if answer.htlc]
    assert told == [Status.EXECUTED] * 3 + [Status.CANCELLED] * 3


async def check_what_was_never_locked_is_unknown(world: World) -> None:
    id = HtlcId(new_id())
    answers = await tell(world, Execute(id=id, key=EXECUTION_KEY), Refund(id=id))
    assert [answer.refusal for answer in answers] == [Refusal.UNKNOWN_CONTRACT] * 2
    assert [answer.htlc for answer in answers] == [None, None]


async def check_every_declared_hash_function_locks_and_opens(world: World) -> None:
    description = await world.as_(GATEWAY).describe()
    assert SM3 in description.hash_functions and KECCAK in description.hash_functions
    for function, probe in zip(description.hash_functions, description.probe, strict=True):
        assert probe == function.digest(PROBE_PREIMAGE)
        terms = await locked(world, execution_lock=function.lock(EXECUTION_KEY))
        assert await refusal(world, Execute(id=terms.id, key=WRONG_KEY)) is Refusal.WRONG_KEY
        assert await refusal(world, Execute(id=terms.id, key=EXECUTION_KEY)) is None


# --- time ----------------------------------------------------------------------------------------


async def check_a_lock_needs_an_instant_before_lock_by(world: World) -> None:
    now = world.clock.at
    for lock_by, expected in (
        (now - 1, Refusal.TOO_LATE),
        (now, Refusal.TOO_LATE),
        (now + 1, None),
    ):
        lock = Lock(terms=world.terms(lock_by=lock_by))
        assert await refusal(world, lock) is expected


async def check_a_claim_needs_an_instant_before_the_expiry(world: World) -> None:
    expires_at = Instant(world.clock.at + 10)
    terms = [await locked(world, expires_at=expires_at) for _ in range(2)]
    world.clock.advance(9)
    assert await refusal(world, Execute(id=terms[0].id, key=EXECUTION_KEY)) is None
    world.clock.advance(1)
    assert await refusal(world, Execute(id=terms[1].id, key=EXECUTION_KEY)) is Refusal.EXPIRED
    assert await status(world, terms[1].id) is Status.LOCKED


async def check_a_refund_needs_the_expiry(world: World) -> None:
    expires_at = Instant(world.clock.at + 10)
    terms = await locked(world, expires_at=expires_at, cancellation_lock=None)
    world.clock.advance(9)
    assert await refusal(world, Refund(id=terms.id)) is Refusal.NOT_EXPIRED
    world.clock.advance(1)
    [answer] = await tell(world, Refund(id=terms.id))
    assert answer.refusal is None and answer.htlc is not None and answer.htlc.key is None
    assert await available(world, ALICE, ALICE_ACCOUNT) == FUNDS


async def check_a_lock_without_expiry_is_never_refunded(world: World) -> None:
    terms = await locked(world)
    world.clock.advance(10**9 * SECOND)
    assert await refusal(world, Refund(id=terms.id)) is Refusal.NO_EXPIRY
    assert await refusal(world, Execute(id=terms.id, key=EXECUTION_KEY)) is None


async def check_a_lock_without_cancellation_lock_has_no_key_to_cancel(world: World) -> None:
    terms = await locked(world, cancellation_lock=None, expires_at=Instant(world.clock.at + SECOND))
    cancel = Cancel(id=terms.id, key=CANCELLATION_KEY)
    assert await refusal(world, cancel) is Refusal.NO_CANCELLATION_LOCK


async def check_ledger_time_never_goes_back(world: World) -> None:
    """However its wall clock is set: what was told once binds."""
    ledger = world.as_(GATEWAY)
    told = (await ledger.describe()).at
    world.clock.advance(-3600 * SECOND)
    [looked] = await ledger.look([HtlcId(new_id())])
    assert isinstance(looked, Answer) and looked.at >= told
    [answered] = await tell(world, Refund(id=HtlcId(new_id())))
    assert answered.at >= looked.at
    world.clock.advance(7200 * SECOND)
    assert (await ledger.describe()).at == world.clock.at


async def check_absent_at_an_instant_binds_every_later_lock(world: World) -> None:
    """A look that finds nothing at `lock_by` proves that the lock will never be made, even when
    the wall clock is set back afterwards."""
    terms = world.terms(lock_by=world.clock.at + 10)
    world.clock.advance(10)
    [absent] = await world.as_(GATEWAY).look([terms.id])
    assert absent == Answer(at=terms.lock_by)
    world.clock.advance(-10)
    assert await refusal(world, Lock(terms=terms)) is Refusal.TOO_LATE


# --- what a lock needs ---------------------------------------------------------------------------


async def check_one_more_than_is_available_is_refused(world: World) -> None:
    lock = Lock(terms=world.terms(quantity=FUNDS + 1))
    assert await refusal(world, lock) is Refusal.INSUFFICIENT_BALANCE
    whole = Lock(terms=world.terms(quantity=FUNDS))
    assert await refusal(world, whole) is None
    one_more = Lock(terms=world.terms(quantity=1))
    assert await refusal(world, one_more) is Refusal.INSUFFICIENT_BALANCE


async def check_a_refused_lock_is_not_remembered(world: World) -> None:
    """A refusal is not final: the same lock may be accepted later."""
    terms = world.terms(payer=ALICE_SECOND, payee=BOB_ACCOUNT, quantity=10)
    lock = Lock(terms=terms)
    assert await refusal(world, lock, by=ALICE) is Refusal.INSUFFICIENT_BALANCE
    assert await status(world, terms.id) is None
    transfer = Transfer(
        id=new_id(), debit=ALICE_ACCOUNT, credit=ALICE_SECOND, asset=EUR, quantity=Quantity(10)
    )
    assert await refusal(world, transfer, by=ALICE) is None
    assert await refusal(world, lock, by=ALICE) is None


async def check_terms_that_are_not_served_are_refused(world: World) -> None:
    other = HashFunction(encoding=Encoding.HEX_TEXT)  # SHA-256 of text: not declared
    not_served: Sequence[dict[str, object]] = (
        {"payee": ALICE_ACCOUNT},
        {"quantity": 0},
        {"cancellation_lock": None},
        {"execution_lock": other.lock(EXECUTION_KEY)},
        {"cancellation_lock": other.lock(CANCELLATION_KEY)},
        {"cancellation_lock": SHA256.lock(EXECUTION_KEY)},
        {"execution_lock": msgspec.structs.replace(SHA256.lock(EXECUTION_KEY), digest=b"")},
        {"payee": RESERVES},
    )
    for changes in not_served:
        lock = Lock(terms=world.terms(**changes))
        assert await refusal(world, lock) is Refusal.TERMS_REFUSED, changes


async def check_accounts_and_assets_must_exist(world: World) -> None:
    nobody, nothing = AccountId("nobody"), AssetId("XXX")
    for changes, expected in (
        ({"payee": nobody}, Refusal.UNKNOWN_ACCOUNT),
        ({"payer": nobody}, Refusal.UNKNOWN_ACCOUNT),
        ({"asset": nothing}, Refusal.UNKNOWN_ASSET),
    ):
        lock = Lock(terms=world.terms(**changes))
        assert await refusal(world, lock) is expected, changes


async def check_only_the_owner_or_a_mandate_locks(world: World) -> None:
    terms = world.terms()
    for stranger in (BOB, CENTRAL_BANK):
        assert await refusal(world, Lock(terms=terms), by=stranger) is Refusal.NOT_AUTHORISED
    without_mandate = world.terms(payer=ALICE_SECOND)
    assert await refusal(world, Lock(terms=without_mandate)) is Refusal.NOT_AUTHORISED
    assert await refusal(world, Lock(terms=terms), by=ALICE) is None


# --- idempotency ---------------------------------------------------------------------------------


async def check_a_repeated_lock_finds_its_contract_as_it_is_now(world: World) -> None:
    terms = await locked(world, quantity=300)
    assert await refusal(world, Lock(terms=terms)) is None
    await tell(world, Execute(id=terms.id, key=EXECUTION_KEY))
    world.clock.advance(3600 * SECOND)
    [answer] = await tell(world, Lock(terms=terms))
    assert answer.refusal is None and answer.htlc is not None
    assert answer.htlc.status is Status.EXECUTED
    assert await available(world, BOB, BOB_ACCOUNT) == FUNDS + 300


async def check_other_terms_under_a_known_id_are_a_conflict(world: World) -> None:
    terms = await locked(world)
    other = msgspec.structs.replace(terms, quantity=Quantity(terms.quantity + 1))
    [answer] = await tell(world, Lock(terms=other))
    assert answer.refusal is Refusal.CONFLICT
    assert answer.htlc is not None and answer.htlc.terms == terms


async def check_repeated_ends_have_no_second_effect(world: World) -> None:
    done, undone = await locked(world, quantity=300), await locked(world, quantity=50)
    for _ in range(3):
        execute = Execute(id=done.id, key=EXECUTION_KEY)
        cancel = Cancel(id=undone.id, key=CANCELLATION_KEY)
        answers = await tell(world, execute, cancel, execute, cancel)
        assert [answer.refusal for answer in answers] == [None] * 4
    assert await available(world, ALICE, ALICE_ACCOUNT) == FUNDS - 300
    assert await available(world, BOB, BOB_ACCOUNT) == FUNDS + 300


async def check_issue_redeem_and_transfer_are_known_by_id_and_content(world: World) -> None:
    hundred, id = Quantity(100), [new_id() for _ in range(3)]
    steps = (
        (CENTRAL_BANK, Issue(id=id[0], account=ALICE_ACCOUNT, asset=EUR, quantity=hundred)),
        (
            ALICE,
            Transfer(
                id=id[1], debit=ALICE_ACCOUNT, credit=BOB_ACCOUNT, asset=EUR, quantity=hundred
            ),
        ),
        (CENTRAL_BANK, Redeem(id=id[2], account=BOB_ACCOUNT, asset=EUR, quantity=hundred)),
    )
    for by, step in steps:
        other = msgspec.structs.replace(step, quantity=Quantity(99))
        assert await refusal(world, step, by=by) is None
        assert await refusal(world, step, by=by) is None
        assert await refusal(world, other, by=by) is Refusal.CONFLICT
    assert await available(world, ALICE, ALICE_ACCOUNT) == FUNDS
    assert await available(world, BOB, BOB_ACCOUNT) == FUNDS


# --- issue, redeem, transfer ---------------------------------------------------------------------


async def check_issue_and_redeem_are_the_issuers(world: World) -> None:
    for by in (ALICE, GATEWAY):
        for kind in (Issue, Redeem):
            operation = kind(id=new_id(), account=ALICE_ACCOUNT, asset=EUR, quantity=Quantity(1))
            assert await refusal(world, operation, by=by) is Refusal.NOT_AUTHORISED


async def check_a_transfer_is_the_owners_alone(world: World) -> None:
    """A mandate is for locks: an operator moves nothing without the other leg."""
    for by in (GATEWAY, BOB):
        transfer = Transfer(
            id=new_id(), debit=ALICE_ACCOUNT, credit=BOB_ACCOUNT, asset=EUR, quantity=Quantity(1)
        )
        assert await refusal(world, transfer, by=by) is Refusal.NOT_AUTHORISED


async def check_a_mandate_moves_liquidity_between_accounts_of_one_owner(world: World) -> None:
    one = {"asset": EUR, "quantity": Quantity(1)}
    within = Transfer(id=new_id(), debit=ALICE_ACCOUNT, credit=ALICE_SECOND, **one)
    back = Transfer(id=new_id(), debit=ALICE_SECOND, credit=ALICE_ACCOUNT, **one)
    assert await refusal(world, within, by=BOB) is Refusal.NOT_AUTHORISED
    assert await refusal(world, within, by=GATEWAY) is None
    assert await refusal(world, within, by=GATEWAY) is None
    assert await available(world, ALICE, ALICE_ACCOUNT) == FUNDS - 1
    assert await refusal(world, back, by=GATEWAY) is Refusal.NOT_AUTHORISED  # no mandate on it


async def check_what_is_locked_can_neither_be_transferred_nor_redeemed(world: World) -> None:
    await locked(world, quantity=FUNDS)
    one = Quantity(1)
    transfer = Transfer(
        id=new_id(), debit=ALICE_ACCOUNT, credit=BOB_ACCOUNT, asset=EUR, quantity=one
    )
    assert await refusal(world, transfer, by=ALICE) is Refusal.INSUFFICIENT_BALANCE
    redeem = Redeem(id=new_id(), account=ALICE_ACCOUNT, asset=EUR, quantity=one)
    assert await refusal(world, redeem, by=CENTRAL_BANK) is Refusal.INSUFFICIENT_BALANCE


async def check_the_issued_amount_stays_within_63_bits(world: World) -> None:
    rest = QUANTITY_MAX - 2 * FUNDS
    for quantity, expected in (
        (rest + 1, Refusal.LIMIT_EXCEEDED),
        (rest, None),
        (1, Refusal.LIMIT_EXCEEDED),
    ):
        issue = Issue(id=new_id(), account=ALICE_ACCOUNT, asset=EUR, quantity=Quantity(quantity))
        assert await refusal(world, issue, by=CENTRAL_BANK) is expected


async def check_nothing_but_issue_and_redeem_touches_the_counter_account(world: World) -> None:
    one = Quantity(1)
    to_reserves = Transfer(
        id=new_id(), debit=ALICE_ACCOUNT, credit=RESERVES, asset=EUR, quantity=one
    )
    assert await refusal(world, to_reserves, by=ALICE) is Refusal.TERMS_REFUSED
    from_reserves = Transfer(
        id=new_id(), debit=RESERVES, credit=BOB_ACCOUNT, asset=EUR, quantity=one
    )
    assert await refusal(world, from_reserves, by=CENTRAL_BANK) is Refusal.TERMS_REFUSED


# --- batches and facts ---------------------------------------------------------------------------


async def check_a_batch_is_done_in_its_order_each_with_its_own_outcome(world: World) -> None:
    first, second = world.terms(quantity=FUNDS), world.terms(quantity=FUNDS)
    answers = await tell(
        world,
        Execute(id=first.id, key=EXECUTION_KEY),
        Lock(terms=first),
        Lock(terms=second),
        Lock(terms=first),
        Cancel(id=first.id, key=CANCELLATION_KEY),
        Lock(terms=second),
        Execute(id=second.id, key=EXECUTION_KEY),
        Execute(id=second.id, key=EXECUTION_KEY),
    )
    assert [answer.refusal for answer in answers] == [
        Refusal.UNKNOWN_CONTRACT,
        None,
        Refusal.INSUFFICIENT_BALANCE,
        None,
        None,
        None,
        None,
        None,
    ]
    assert await available(world, BOB, BOB_ACCOUNT) == 2 * FUNDS


async def check_nothing_asked_is_nothing_answered(world: World) -> None:
    assert list(await world.as_(GATEWAY).apply([])) == []
    assert list(await world.as_(GATEWAY).look([])) == []


async def check_concurrent_callers_share_the_account_without_harm(world: World) -> None:
    locks = [Lock(terms=world.terms(quantity=FUNDS // 10)) for _ in range(25)]
    told = await asyncio.gather(*(refusal(world, lock) for lock in locks))
    assert told.count(None) == 10 and told.count(Refusal.INSUFFICIENT_BALANCE) == 15


async def check_facts_tell_every_effect_once_and_in_order(world: World) -> None:
    before = await _facts(world)
    terms = await locked(world, quantity=7)
    await tell(world, Lock(terms=terms), Execute(id=terms.id, key=WRONG_KEY))
    world.clock.advance(5)
    await tell(world, Execute(id=terms.id, key=EXECUTION_KEY))
    await tell(world, Execute(id=terms.id, key=EXECUTION_KEY))
    new = (await _facts(world))[len(before) :]
    assert [(fact.kind, fact.debit, fact.credit, fact.quantity) for fact in new] == [
        ("lock", ALICE_ACCOUNT, ALICE_ACCOUNT, 7),
        ("execute", ALICE_ACCOUNT, BOB_ACCOUNT, 7),
    ]
    assert [fact.htlc.status for fact in new if fact.htlc] == [Status.LOCKED, Status.EXECUTED]
    assert [fact.at for fact in new] == [world.clock.at - 5, world.clock.at]


async def check_facts_resume_after_any_cursor(world: World) -> None:
    for _ in range(3):
        await locked(world)
    everything = await _facts(world)
    for index, fact in enumerate(everything):
        rest = [found async for found in world.as_(GATEWAY).facts(fact.cursor)]
        assert rest == everything[index + 1 :]


async def check_an_owner_sees_its_own_facts_only(world: World) -> None:
    terms = await locked(world)
    alices, bobs = await _facts(world, ALICE), await _facts(world, BOB)
    assert {fact.kind for fact in alices} == {"issue", "lock"}
    assert [fact.credit for fact in bobs] == [BOB_ACCOUNT]
    await tell(world, Execute(id=terms.id, key=EXECUTION_KEY))
    assert [fact.kind for fact in await _facts(world, BOB)] == ["issue", "execute"]


async def _facts(world: World, by: object = GATEWAY) -> list[Fact]:
    return [fact async for fact in world.as_(by).facts()]  # type: ignore[arg-type]


Check = Callable[[World], Awaitable[None]]

CHECKS: Final[dict[str, Check]] = {
    name.removeprefix("check_"): function
    for name, function in list(globals().items())
    if name.startswith("check_")
}
