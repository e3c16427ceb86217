"""`Idempotency-Key` in the store: bound to a request first, answered once, never to another."""

from datetime import timedelta

from gateway.forgetting import KEEP, Forgetting
from gateway.port import Conflict
from tests.gateway.systems import BUYER, SELLER, System

KEY, ONE, OTHER = "key-1", b"1" * 32, b"2" * 32


async def test_a_key_is_bound_then_answered_once_and_then_says_the_same(running: System) -> None:
    desk = running.desk
    assert await desk.remember(SELLER, KEY, ONE, 0, "") == (0, "")
    assert await desk.remember(SELLER, KEY, ONE, 201, "made") == (201, "made")
    assert await desk.remember(SELLER, KEY, ONE, 0, "") == (201, "made")
    assert await desk.remember(SELLER, KEY, ONE, 409, "another answer") == (201, "made")


async def test_a_key_with_another_body_is_a_conflict_and_changes_nothing(running: System) -> None:
    desk = running.desk
    assert await desk.remember(SELLER, KEY, ONE, 0, "") == (0, "")
    assert isinstance(await desk.remember(SELLER, KEY, OTHER, 200, "no"), Conflict)
    assert await desk.remember(SELLER, KEY, ONE, 0, "") == (0, "")


async def test_keys_of_two_members_are_two_keys(running: System) -> None:
    desk = running.desk
    assert await desk.remember(SELLER, KEY, ONE, 200, "the seller's") == (200, "the seller's")
    assert await desk.remember(BUYER, KEY, OTHER, 200, "the buyer's") == (200, "the buyer's")


async def test_answers_are_forgotten_when_they_are_old_and_not_before(running: System) -> None:
    desk, pool = running.desk, running.engine.pool
    forgetting = Forgetting(pool, say=print)
    for key in ("old", "young"):
        assert await desk.remember(SELLER, key, ONE, 200, key) == (200, key)
    age = KEEP + timedelta(seconds=1)
    aged = "UPDATE idempotency SET kept_at = now() - $1::interval WHERE key = 'old'"
    await pool.execute(aged, age)
    assert await forgetting.forget() == 1 and await forgetting.forget() == 0
    assert await desk.remember(SELLER, "young", ONE, 0, "") == (200, "young")
    assert await desk.remember(SELLER, "old", OTHER, 0, "") == (0, "")
