"""Makes the files of the day: `python -m gateway.demo.make_day` writes them into `day/`.

The same program makes the same bytes always; a test compares. Custodians send batches, single
messages, some of them in other versions, and now and then something that must be refused.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from gateway.demo.expected import DAY, Expected, Outcome, Sent, Trade
from gateway.demo.faults import faults
from gateway.demo.trades import BUSINESS_DATE, TRADE_DATE, Deal, Story, deals
from gateway.demo.writing import Custodian, Desk
from gateway.machine import world
from protocols.iso20022.instruction import Movement

WORLD: Final = "dvp"

BATCH: Final = 15
"""Messages of one batch file."""

SINGLES: Final = 3
"""Messages that each custodian sends on their own."""

CODES: Final = {
    # story -> outcome, code of the deliverer, code of the receiver (spec 4.5 and 4.6)
    Story.FUTURE: (Outcome.PENDING, "FUTU", "FUTU"),
    Story.HOLD: (Outcome.PENDING, "PRCY", "PREA"),
    Story.NO_SECURITIES: (Outcome.PENDING, "LACK", "CLAC"),
    Story.NO_CASH: (Outcome.PENDING, "CMON", "MONY"),
    Story.NO_COUNTERPART: (Outcome.UNMATCHED, "CMIS", "CMIS"),
    Story.AMOUNT: (Outcome.UNMATCHED, "DMON", "DMON"),
    Story.OTHER_ISIN: (Outcome.UNMATCHED, "DSEC", "DSEC"),
    Story.OTHER_QUANTITY: (Outcome.UNMATCHED, "DQUA", "DQUA"),
}


def files() -> dict[str, bytes]:
    """Every file of the day by its path below `day/`."""
    known = world.load(world.find(WORLD))
    desk = Desk(known)
    trades = [_trade(desk, number, deal) for number, deal in enumerate(deals(known), start=1)]
    placed = _place(desk)
    trades = [_with_files(trade, placed) for trade in trades]
    trades += faults(desk)
    expected = Expected(world=WORLD, business_date=str(BUSINESS_DATE), trades=tuple(trades))
    made = {
        f"{custodian.bic}/{name}": content
        for custodian in desk.custodians.values()
        for name, content in custodian.files.items()
    }
    made["expected.json"] = msgspec.json.format(msgspec.json.encode(expected), indent=1) + b"\n"
    return made


def _trade(desk: Desk, number: int, deal: Deal) -> Trade:
    common = f"TRD-20261006-{number:04d}"
    movements = [Movement.DELI, Movement.RECE]
    if deal.story is Story.NO_COUNTERPART:
        movements.pop(number % 2)  # one side never sends
    return Trade(
        id=f"T{number:03d}",
        story=deal.story,
        deliverer=deal.seller,
        receiver=deal.buyer,
        isin=deal.isin,
        quantity=str(deal.quantity),
        amount=str(deal.amount),
        sides=tuple(_side(desk, deal, common, movement) for movement in movements),
    )


def _side(desk: Desk, deal: Deal, common: str, movement: Movement) -> Sent:
    delivers = movement is Movement.DELI
    sender = desk.custodians[deal.seller if delivers else deal.buyer]
    reference = sender.instruct(
        desk.instruction(
            sender,
            movement,
            counterparty=deal.buyer if delivers else deal.seller,
            common=common,
            trade_date=TRADE_DATE,
            settlement_date=deal.settlement_date,
            isin=deal.isin if delivers else deal.buyer_isin or deal.isin,
            quantity=deal.quantity if delivers else deal.buyer_quantity or deal.quantity,
            amount=deal.amount if delivers else deal.buyer_amount or deal.amount,
            hold=deal.held_by_buyer and not delivers,
        )
    )
    outcome, *codes = CODES.get(deal.story, (Outcome.SETTLED, None, None))
    settled = f"{deal.amount:.2f} EUR" if outcome is Outcome.SETTLED else None
    code = codes[0] if delivers else codes[1]
    return Sent(
        sender=sender.bic,
        file="",
        reference=reference,
        outcome=outcome,
        code=code,
        settled=settled,
    )


def _place(desk: Desk) -> dict[tuple[str, str], str]:
    """Write every custodian's messages into files; where each message stands."""
    placed: dict[tuple[str, str], str] = {}
    for custodian in desk.custodians.values():
        for name, references in _parts(custodian):
            custodian.write(name, references)
            placed |= {(custodian.bic, reference): name for reference in references}
    return placed


def _parts(custodian: Custodian) -> Iterator[tuple[str, list[str]]]:
    references = list(custodian.messages)
    alone, together = references[:SINGLES], references[SINGLES:]
    number = 0
    size = min(BATCH, -(-len(together) // 2))  # even the small bank sends two
    for start in range(0, len(together), size):
        number += 1
        yield f"{number:02d}-batch.xml", together[start : start + size]
    for reference in alone:
        number += 1
        yield f"{number:02d}-single.xml", [reference]


def _with_files(trade: Trade, placed: dict[tuple[str, str], str]) -> Trade:
    sides = tuple(
        msgspec.structs.replace(side, file=placed[side.sender, side.reference or ""])
        for side in trade.sides
    )
    return msgspec.structs.replace(trade, sides=sides)


def write(directory: Path = DAY) -> None:
    """Replace the files of the day."""
    shutil.rmtree(directory, ignore_errors=True)
    for name, content in files().items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    write()
