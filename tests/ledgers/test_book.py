"""The rule book: what administration changes, the order of the checks, and that judging is pure."""

import copy
from typing import Any

import msgspec
import pytest

from htlc.canonical import digest
from htlc.contract import Refusal
from htlc.units import SECOND, AccountId, Instant, Quantity
from ledgers.administration import (
    BlockAccount,
    DefineInstrument,
    GrantMandate,
    OpenAccount,
    RevokeMandate,
    UnblockAccount,
)
from ledgers.book import SIDES, Effect, Kind, Side, judge, post
from ledgers.currency import currency
from ledgers.parties import Balance, Mandate, Principal, Role
from ledgers.port import Cancel, Execute, Issue, Lock, Redeem, Transfer
from ledgers.wire import operation_digest, operation_json
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
    LEDGER_OPERATOR,
    RESERVES,
    SET_UP,
    SUPERVISOR,
    World,
    mandate,
    memory_world,
)


async def administer(world: World, by: Principal, *acts: Any) -> list[Refusal | None]:
    return list(await world.hosted.administer(by, acts))


async def ask(world: World, by: Principal, operation: Any) -> Refusal | None:
    [answer] = await world.hosted.submit(by, [operation])
    refusal: Refusal | None = answer.refusal
    return refusal


def transfer(id: str, **changes: Any) -> Transfer:
    usual: dict[str, Any] = {
        "debit": ALICE_ACCOUNT,
        "credit": BOB_ACCOUNT,
        "asset": EUR,
        "quantity": 1,
    }
    return Transfer(id=id, **(usual | changes))


async def test_a_block_stops_new_locks_and_transfers_but_nothing_that_runs() -> None:
    world = await memory_world()
    executed, cancelled = world.terms(), world.terms()
    for terms in (executed, cancelled):
        assert await ask(world, GATEWAY, Lock(terms=terms)) is None
    assert await administer(world, LEDGER_OPERATOR, BlockAccount(account=ALICE_ACCOUNT)) == [None]
    blocked = Refusal.ACCOUNT_BLOCKED
    assert await ask(world, ALICE, Lock(terms=world.terms())) is blocked
    assert await ask(world, ALICE, transfer("t-1")) is blocked
    into = transfer("t-2", debit=BOB_ACCOUNT, credit=ALICE_ACCOUNT)
    assert await ask(world, BOB, into) is None
    assert await ask(world, GATEWAY, Execute(id=executed.id, key=EXECUTION_KEY)) is None
    assert await ask(world, GATEWAY, Cancel(id=cancelled.id, key=CANCELLATION_KEY)) is None
    assert await ask(world, GATEWAY, Lock(terms=executed)) is None, "a repeat is no new lock"
    await administer(world, LEDGER_OPERATOR, UnblockAccount(account=ALICE_ACCOUNT))
    assert await ask(world, ALICE, transfer("t-1")) is None


async def test_a_mandate_has_a_limit_and_an_end() -> None:
    world = await memory_world()
    grant = mandate(
        ALICE, ALICE_ACCOUNT, limit=Quantity(100), until=Instant(world.clock.at + SECOND)
    )
    await administer(world, ALICE, grant)
    assert await ask(world, GATEWAY, Lock(terms=world.terms(quantity=100))) is None
    too_much = Lock(terms=world.terms(quantity=101))
    assert await ask(world, GATEWAY, too_much) is Refusal.NOT_AUTHORISED
    world.clock.advance(SECOND - 1)
    assert await ask(world, GATEWAY, Lock(terms=world.terms())) is None
    world.clock.advance(1)
    assert await ask(world, GATEWAY, Lock(terms=world.terms())) is Refusal.NOT_AUTHORISED
    assert await ask(world, ALICE, Lock(terms=world.terms())) is None


async def test_a_mandate_ends_when_it_is_revoked() -> None:
    world = await memory_world()
    revoke = RevokeMandate(account=ALICE_ACCOUNT, operator=GATEWAY.name)
    assert await administer(world, ALICE, revoke, revoke) == [None, None]
    assert await ask(world, GATEWAY, Lock(terms=world.terms())) is Refusal.NOT_AUTHORISED


async def test_a_mandate_is_its_owners_to_give() -> None:
    world = await memory_world()
    grant = mandate(ALICE, ALICE_ACCOUNT)
    for by in (BOB, GATEWAY, LEDGER_OPERATOR):
        assert await administer(world, by, grant) == [Refusal.NOT_AUTHORISED]
    nowhere = GrantMandate(
        mandate=Mandate(
            account=AccountId("nobody"), operator="x", limit=Quantity(1), until=Instant(1)
        )
    )
    assert await administer(world, ALICE, nowhere) == [Refusal.UNKNOWN_ACCOUNT]


async def test_accounts_and_instruments_are_the_ledger_operators_to_make() -> None:
    world = await memory_world()
    acts = (*SET_UP, BlockAccount(account=ALICE_ACCOUNT), UnblockAccount(account=ALICE_ACCOUNT))
    for by in (ALICE, GATEWAY, CENTRAL_BANK, SUPERVISOR):
        assert set(await administer(world, by, *acts)) == {Refusal.NOT_AUTHORISED}


async def test_acts_are_idempotent_and_conflicts_are_told() -> None:
    world = await memory_world()
    assert await administer(world, LEDGER_OPERATOR, *SET_UP) == [None] * len(SET_UP)
    other_owner = OpenAccount(account=ALICE_ACCOUNT, owner=BOB.name)
    euro = currency(code="EUR", scale=3, central_bank=CENTRAL_BANK.name, reserves_account=RESERVES)
    conflicts = (other_owner, DefineInstrument(instrument=euro))
    assert await administer(world, LEDGER_OPERATOR, *conflicts) == [Refusal.CONFLICT] * 2


async def test_a_counter_account_is_the_issuers_own() -> None:
    world = await memory_world()
    for account, expected in (
        (ALICE_ACCOUNT, Refusal.TERMS_REFUSED),
        (AccountId("nobody"), Refusal.UNKNOWN_ACCOUNT),
    ):
        franc = currency(
            code="CHF", scale=2, central_bank=CENTRAL_BANK.name, reserves_account=account
        )
        act = DefineInstrument(instrument=franc)
        assert await administer(world, LEDGER_OPERATOR, act) == [expected]


async def test_only_the_named_issuer_in_its_role_issues() -> None:
    world = await memory_world()
    operation = Issue(id="x", account=ALICE_ACCOUNT, asset=EUR, quantity=Quantity(1))
    for by in (
        Principal(name=CENTRAL_BANK.name, role=Role.OWNER),
        Principal(name="another", role=Role.ISSUER),
    ):
        assert await ask(world, by, operation) is Refusal.NOT_AUTHORISED


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # Each row fails in all that follow as well: the first reason in the order is told.
        ({"id": "known", "payer": BOB_ACCOUNT}, Refusal.CONFLICT),
        ({"payer": ALICE_SECOND, "quantity": 0}, Refusal.NOT_AUTHORISED),
        ({"cancellation_lock": None, "asset": "XXX"}, Refusal.TERMS_REFUSED),
        ({"asset": "XXX", "payee": "nobody"}, Refusal.UNKNOWN_ASSET),
        ({"payee": "nobody", "payer": BOB_ACCOUNT}, Refusal.UNKNOWN_ACCOUNT),
        ({"payer": BOB_ACCOUNT, "payee": ALICE_ACCOUNT}, Refusal.ACCOUNT_BLOCKED),
        ({"lock_by": 0, "quantity": FUNDS + 1}, Refusal.TOO_LATE),
        ({"quantity": FUNDS + 1}, Refusal.INSUFFICIENT_BALANCE),
    ],
)
async def test_the_first_reason_in_the_order_of_the_checks_is_told(
    changes: dict[str, Any], expected: Refusal
) -> None:
    world = await memory_world()
    known = world.terms()
    await ask(world, GATEWAY, Lock(terms=known))
    await administer(world, LEDGER_OPERATOR, BlockAccount(account=BOB_ACCOUNT))
    if "id" in changes:
        changes = changes | {"id": known.id}
    assert await ask(world, GATEWAY, Lock(terms=world.terms(**changes))) is expected


async def test_judging_changes_nothing() -> None:
    world = await memory_world()
    book = world.hosted.book
    before = copy.deepcopy(vars(book))
    for operation in (Lock(terms=world.terms()), transfer("t-1")):
        assert isinstance(judge(book, operation, ALICE, world.clock.at), Effect)
    assert vars(book) == before


@pytest.mark.parametrize(
    ("kind", "debit", "quantity"),
    [(Kind.EXECUTE, ALICE_ACCOUNT, 1), (Kind.TRANSFER, ALICE_ACCOUNT, FUNDS + 1)],
)
async def test_an_effect_that_was_never_judged_is_our_own_error(
    kind: Kind, debit: AccountId, quantity: int
) -> None:
    world = await memory_world()
    effect = Effect(
        kind=kind,
        id="x",
        by="nobody",
        at=world.clock.at,
        debit=debit,
        credit=BOB_ACCOUNT,
        asset=EUR,
        quantity=Quantity(quantity),
    )
    with pytest.raises(AssertionError):
        post(world.hosted.book, effect)


async def test_redeem_takes_back_to_the_counter_account() -> None:
    world = await memory_world()
    redeem = Redeem(id="r", account=ALICE_ACCOUNT, asset=EUR, quantity=Quantity(FUNDS))
    assert await ask(world, CENTRAL_BANK, redeem) is None
    assert world.hosted.book.balance(RESERVES, EUR) == Balance(-FUNDS, 0)
    assert world.hosted.book.balance(ALICE_ACCOUNT, EUR) == Balance()
    [position] = await world.hosted.conservation()
    assert (position.issued, position.available, position.difference) == (FUNDS, FUNDS, 0)


async def test_an_operation_whose_id_is_no_name_is_refused() -> None:
    world = await memory_world()
    for id in ("", "with space", "x" * 65, "\0"):
        assert await ask(world, ALICE, transfer(id)) is Refusal.TERMS_REFUSED


async def test_ids_of_contracts_and_of_operations_do_not_meet() -> None:
    """A transfer under the id of a contract is another thing, and its fact shows no contract."""
    world = await memory_world()
    terms = world.terms()
    assert await ask(world, GATEWAY, Lock(terms=terms)) is None
    assert await ask(world, ALICE, transfer(terms.id)) is None
    *_, last = await world.hosted.facts(GATEWAY, "", 100)
    assert last.kind == "transfer" and last.id == terms.id and last.htlc is None


def test_every_kind_of_entry_has_its_sides() -> None:
    assert SIDES.keys() == set(Kind)
    assert {side for sides in SIDES.values() for side in sides} == set(Side)
    assert msgspec.json.encode(Kind.LOCK) == b'"lock"'


@pytest.mark.parametrize("id", ["t-1", 'a"\\b', "\u00e9\u20ac"])
def test_the_digest_of_a_transfer_is_that_of_its_canonical_json(id: str) -> None:
    operation = transfer(id, quantity=2**63 - 1)
    assert operation_digest(operation) == digest(operation_json(operation))
