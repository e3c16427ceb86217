"""Pairs of instructions whose settlement was lost with the journal and found on the ledgers.

A found settlement does not say which instructions it was for, and those may be lost as well: their
senders send them again. So before a pair is settled in an epoch that a restore has begun, it is
asked whether a found settlement moves just the same. That one is then the pair's: it is told its
end, and nothing is moved twice. Of equal ones any will do, for each is one pair's only.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from gateway import found
from gateway.jobs import UNTOLD, AttemptJob, Done
from gateway.journal import QUERIES, Journal, PairEnd, deliver
from gateway.pair_origin import CashTeller
from gateway.pairs import notice
from gateway.sql import Connection, Executor
from htlc.settlement import Phase, Settlement
from htlc.swap import Swap
from htlc.units import SettlementId, seconds

FIRST_EPOCH: Final = 1
"""In which nothing has ever been restored."""

AGAIN: Final = seconds(1)
"""Until a pair is looked at again whose settlement has not ended yet."""


async def take(
    connection: Connection,
    journal: Journal,
    job: AttemptJob,
    swap: Swap,
    cash: CashTeller,
    now: int,
    done: Done,
) -> bool:
    """Whether a found settlement is this pair's, within the transaction of an intake: then the pair
    is told its end, or waits for it, and nothing is to be opened."""
    if journal.epoch.number == FIRST_EPOCH:
        return False
    id = await connection.fetchval(QUERIES["claim_found"], found.fingerprint(swap), job.pair.id)
    if id is None:
        return False
    claimed = (await journal.load_in(connection, [SettlementId(str(id))]))[SettlementId(str(id))]
    if claimed.state.phase is Phase.SETTLED and job.advised:
        await _settle(connection, journal, job, claimed.state, cash, now, done)
    else:  # not ended yet; or only being matched, which both sides are told first
        await wait(connection, journal, job, now + AGAIN, done)
    return True


async def post(connection: Executor, journal: Journal, swaps: Sequence[tuple[Swap, bytes]]) -> None:
    """Found settlements whose id is posted with terms that they carry out, all or some of them, are
    those proposals (with the digest of each as posted)."""
    if journal.epoch.number == FIRST_EPOCH:
        return
    posted = {swap.id: (swap, digest) for swap, digest in swaps}
    rows = await connection.fetch(QUERIES["unposted_found"], list(posted))
    ids = [SettlementId(str(row["settlement"])) for row in rows]
    for id, loaded in (await journal.load_in(connection, ids)).items():
        swap, digest = posted[id]
        if found.moved(loaded.state.swap).items() <= found.moved(swap).items():
            await connection.execute(QUERIES["post_found"], id, digest)


async def wait(
    connection: Connection, journal: Journal, job: AttemptJob, due_at: int, done: Done
) -> None:
    """Nothing can be opened for the pair now: it waits, as before."""
    again = msgspec.structs.replace(job.wait, due_at=due_at, advised=job.advised or UNTOLD)
    await journal.put_pending(connection, [again])
    done.waits.append((again, job.pair))


async def _settle(
    connection: Connection,
    journal: Journal,
    job: AttemptJob,
    state: Settlement,
    cash: CashTeller,
    now: int,
    done: Done,
) -> None:
    """The pair is over: its sides are told, and the settlement is its last attempt."""
    id = state.swap.id
    # Nobody was told anything of it: all that has become of the money is news.
    paid = cash.advise(msgspec.structs.replace(state, legs=()), state, news=True)
    told = [*paid.told, *job.pair.told_settled(state)]
    notices = [notice(side, message, now, id) for side, message in told]
    await deliver(connection, notices)
    await journal.end_payments(connection, paid.ends)
    await connection.execute(QUERIES["settle_claimed"], id, job.pair.id, job.attempt)
    await journal.end_in(connection, PairEnd(pair=job.pair.id, settled=True), now)
    done.over.append(job.pair.id)
    done.told.update(item.member for item in notices)
