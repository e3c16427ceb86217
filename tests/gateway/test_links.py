"""Linked instructions (AFTE, BEFO) through the whole gateway: one settles after the other."""

import asyncio

import msgspec
import pytest

from gateway import waiting
from protocols.iso20022.instruction import Link, Movement, SettlementInstruction
from tests.gateway.requests import ask, cancellation, heard, hold
from tests.gateway.systems import BUYER, SELLER, System, until
from tests.gateway.test_instructions import both, instruction, send


async def is_settled(running: System, member: str) -> bool:
    return "settled" in await heard(running, member)


async def test_links_that_order_nothing_are_kept_and_hold_nothing_up(running: System) -> None:
    links = (
        Link(position="WITH", reference="OTHER-1", kind="SctiesSttlmTxId"),
        Link(position="AFTE", reference="OTHER-1", kind="MktInfrstrctrTxId"),
        Link(position=None, reference="POOL", kind="PoolId"),
    )
    deliver, receive = both(links=links)
    await send(running, deliver)
    await send(running, receive)
    await until(lambda: is_settled(running, SELLER))
    content = await running.engine.pool.fetchval(
        "SELECT content FROM instruction WHERE member = $1", SELLER
    )
    assert msgspec.json.decode(content, type=SettlementInstruction).links == links


def linked(position: str, reference: str) -> dict[str, object]:
    link = Link(position=position, reference=reference, kind="SctiesSttlmTxId")
    return {"links": (link,)}


async def test_a_linked_instruction_settles_after_the_one_it_waits_for(
    running: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "LINKED_AGAIN", 50_000_000)
    later = instruction(Movement.DELI, transaction_id="LATER", **linked("AFTE", "EARLIER"))
    await send(running, later)
    await send(running, instruction(Movement.RECE))
    assert (await heard(running, SELLER))[-1] == "Mtchd Pdg/LINK"
    assert (await heard(running, BUYER))[-1] == "AckdAccptd Mtchd Pdg/LINK"
    held = instruction(Movement.DELI, transaction_id="HELD", quantity="7", hold=True)
    await send(running, held)
    await send(running, instruction(Movement.RECE, quantity="7"))
    before = instruction(
        Movement.DELI, transaction_id="EARLIER", quantity="5", **linked("BEFO", "HELD")
    )
    await ask(running, hold(held, False))  # EARLIER is not there yet: nothing holds it up
    await until(lambda: is_settled(running, SELLER))
    await send(running, before)
    await asyncio.sleep(0.2)
    assert (await heard(running, SELLER)).count("Mtchd Pdg/LINK") == 1
    assert not running.engine.runner.lives
    await send(running, instruction(Movement.RECE, quantity="5"))

    async def all_settled() -> bool:
        return (await heard(running, SELLER)).count("settled") == 3

    await until(all_settled)
    order = await running.engine.pool.fetch(
        "SELECT i.transaction_id FROM settlement s JOIN instruction i USING (pair)"
        " WHERE i.member = $1 ORDER BY s.created_at",
        SELLER,
    )
    assert [row["transaction_id"] for row in order] == ["HELD", "EARLIER", "LATER"]


async def test_a_link_to_what_was_cancelled_or_comes_before_holds_nothing_up(
    running: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "LINKED_AGAIN", 50_000_000)
    first = instruction(Movement.DELI, transaction_id="FIRST", **linked("BEFO", "SECOND"))
    second = instruction(Movement.DELI, transaction_id="SECOND", quantity="7", hold=True)
    await send(running, first)
    await send(running, second)
    await send(running, instruction(Movement.RECE, quantity="7"))
    await ask(running, hold(second, False))
    assert (await heard(running, BUYER))[-1] == "Mtchd Pdg/LINK"
    await ask(running, cancellation(first))
    await until(lambda: is_settled(running, BUYER))
