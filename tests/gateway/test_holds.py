"""sese.030 through the whole gateway: a pair settles when no side holds it, and both are told."""

from datetime import date

from htlc.units import LedgerId, SettlementId
from protocols.iso20022.instruction import Movement
from tests.gateway.requests import ask, cancellation, heard, hold
from tests.gateway.systems import BUYER, SELLER, System, until
from tests.gateway.test_instructions import both, instruction, send


async def test_a_pair_settles_when_both_sides_are_released_and_the_reasons_are_mirrored(
    running: System,
) -> None:
    deliver, receive = both(hold=True)
    await send(running, deliver)
    await ask(running, hold(deliver, False), hold(deliver, True))  # not matched yet: no status
    await send(running, receive)
    await ask(running, hold(deliver, False))
    await ask(running, hold(deliver, False))  # the same again changes nothing
    await ask(running, hold(deliver, True))
    await ask(running, hold(receive, False))
    await ask(running, hold(deliver, False))

    async def over() -> bool:
        return (await heard(running, BUYER))[-1] == "settled"

    await until(over)
    done = "031/Cmpltd"
    assert await heard(running, SELLER) == [
        "AckdAccptd Umtchd/CMIS",
        done,
        done,
        "Mtchd Pdg/BOTH",
        "Mtchd Pdg/PRCY",
        done,
        done,
        "Mtchd Pdg/BOTH",
        done,
        "Mtchd Pdg/PREA",
        done,
        "settled",
    ]
    assert await heard(running, BUYER) == [
        "AckdAccptd Mtchd Pdg/BOTH",
        "Mtchd Pdg/PREA",
        "Mtchd Pdg/BOTH",
        "Mtchd Pdg/PRCY",
        done,
        "settled",
    ]
    await ask(running, hold(deliver, True))
    assert (await heard(running, SELLER))[-1] == "031/Dnd/DSET"
    assert await running.engine.pool.fetchval("SELECT count(*) FROM pending_pair") == 0
    id = await running.engine.pool.fetchval("SELECT settlement FROM settlement")
    said = await running.desk.conversation(SELLER, SettlementId(str(id)))
    assert said is not None
    kinds = [item.definition[5:8] for item in said]
    assert kinds.count("030") == kinds.count("031") == 7
    assert kinds[0] == "023"
    assert await running.desk.conversation("DEALGB20XXX", SettlementId(str(id))) is None


async def test_a_hold_stops_what_waits_and_not_what_settles(running: System) -> None:
    deliver, receive = both(settlement_date=date(2036, 1, 4))
    await send(running, deliver)
    await send(running, receive)
    await ask(running, hold(receive, True))
    (id,) = running.engine.pending
    running.engine.pending._try(id)  # a stale timer, as another replica may still have one
    assert (await heard(running, SELLER))[-1] == "Mtchd Pdg/PRCY"
    await ask(running, hold(receive, False))
    assert (await heard(running, SELLER))[-1] == "Mtchd Pdg/FUTU"
    await ask(running, hold(receive, True))
    await ask(running, cancellation(deliver))
    await ask(running, cancellation(receive))
    await ask(running, hold(receive, False))
    assert (await heard(running, BUYER))[-3:] == ["027/Canc/CANI", "Canc/CANI", "031/Dnd/DCAN"]
    assert not running.engine.runner.lives

    running.engine.links[LedgerId("bank")].trusted = False  # the attempt stays under way
    deliver, receive = both()
    await send(running, deliver)
    await send(running, receive)
    await ask(running, hold(deliver, True), hold(deliver, False))
    assert (await heard(running, SELLER))[-2:] == ["031/Dnd/DPRG", "031/Cmpltd"]


async def test_a_bad_request_is_refused_and_changes_nothing(running: System) -> None:
    item = instruction(Movement.DELI)
    await send(running, item)
    await ask(
        running,
        hold(item, True, tx="UNKNOWN"),
        hold(item, True, more="<RtnInd>true</RtnInd>"),
        hold(item, True, reason="CSDH"),
    )
    assert (await heard(running, SELLER))[1:] == [
        "031/Rjctd/REFE",
        "031/Rjctd/OTHR",
        "031/Dnd/OTHR",
    ]
    kept = await running.engine.pool.fetchval("SELECT content FROM instruction")
    assert '"hold":true' not in kept
