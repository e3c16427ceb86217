"""Liquidity transfers (camt.050): a member funds the account that it pays from, out of another one.

The transfer is kept with its message, then made on the ledger under the member's mandate, until the
ledger has said what became of it; that is the receipt (camt.025). Replicas may try the same at
once: its id makes it once, and its row is answered once.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from gateway.amounts import Holding, minor_units
from gateway.inbound import Arrival, related
from gateway.jobs import Begun, Done
from gateway.journal import LOST, QUERIES, deliver
from gateway.links import Link
from gateway.pairs import notice_to
from gateway.sql import Connection, Pool, Record
from htlc.contract import Answer, Refusal, Unknown
from htlc.units import AccountId, AssetId, LedgerId, Quantity
from ledgers.port import Transfer
from ledgers.remote import RemoteLedgerError
from protocols.iso20022.codes import TransferReason
from protocols.iso20022.header import related_of
from protocols.iso20022.payment import LiquidityTransfer, TransferReceipt

_encoder = msgspec.json.Encoder()
_transfer = msgspec.json.Decoder(LiquidityTransfer)

PERIOD_SECONDS: Final = 1.0
"""How often it is looked for transfers that another replica has left, or a ledger not answered."""

BATCH_MAX: Final = 100
"""Transfers in one request to a ledger: some milliseconds of its time."""

REFUSED: Final = {
    Refusal.INSUFFICIENT_BALANCE: TransferReason.AM04,
    Refusal.ACCOUNT_BLOCKED: TransferReason.AC06,
    Refusal.UNKNOWN_ACCOUNT: TransferReason.AC02,
    Refusal.NOT_AUTHORISED: TransferReason.AG01,
}
"""A ledger's refusal as a reason; what else it may be is AB04."""

Keeper = Callable[[str], tuple[LedgerId, int] | None]
"""The ledger that keeps a currency, and the decimals of its smallest unit there."""


class LiquidityIntake:
    """Deals with camt.050 inside the transaction of an intake."""

    def __init__(self, keeper: Keeper, new_id: Callable[[], str], now: Callable[[], int]) -> None:
        self._keeper = keeper
        self._new_id = new_id
        self._now = now

    async def admit(
        self,
        connection: Connection,
        arrivals: Sequence[tuple[int, Arrival]],
        done: Sequence[Done],  # noqa: ARG002
    ) -> list[Begun]:
        """`intake.Admit`: what is sound is kept, to be made; the rest is rejected now."""
        for _, arrival in arrivals:
            asked = arrival.content
            assert isinstance(asked, LiquidityTransfer), "dispatched by its family"
            refusal = arrival.refusal
            if refusal is not None:
                code = TransferReason(refusal.code.value)
                text = f"{refusal.field}: {refusal.rule}"
                await self._reject(connection, arrival, asked, code, text)
            elif not await self._keep(connection, arrival, asked):
                code = TransferReason.DUPL
                await self._reject(connection, arrival, asked, code, code.meaning)
        return []

    async def _keep(
        self, connection: Connection, arrival: Arrival, asked: LiquidityTransfer
    ) -> bool:
        kept = self._keeper(asked.currency or "")
        assert kept is not None, "another currency is refused before"
        ledger, scale = kept
        return None is not await connection.fetchval(
            QUERIES["store_transfer"],
            self._new_id(),
            arrival.member,
            asked.transfer_id,
            ledger,
            asked.debit_account,
            asked.credit_account,
            asked.currency,
            minor_units(asked.amount, scale),
            related(arrival.enveloped.header).stored,
            _encoder.encode(asked).decode(),
        )

    async def _reject(
        self,
        connection: Connection,
        arrival: Arrival,
        asked: LiquidityTransfer,
        code: TransferReason,
        text: str,
    ) -> None:
        about = related(arrival.enveloped.header)
        message = receipt(asked, code, text.removeprefix("/Document/LqdtyCdtTrf/LqdtyCdtTrf/"))
        await deliver(connection, [notice_to(arrival.member, message, self._now(), about=about)])


def receipt(
    asked: LiquidityTransfer, code: TransferReason | None, text: str | None
) -> TransferReceipt:
    """What became of a transfer; no code is settled."""
    return TransferReceipt(
        message_id=asked.message_id, definition=asked.definition, code=code, text=text
    )


class Liquidity:
    """Makes the transfers that are kept, as long as the gateway runs."""

    def __init__(
        self,
        pool: Pool,
        links: Mapping[LedgerId, Link],
        *,
        now: Callable[[], int],
        delivered: Callable[[Iterable[str]], None],
        funded: Callable[[Holding], None],
        say: Callable[[str], None],
    ) -> None:
        self._pool = pool
        self._links = links
        self._now = now
        self._delivered = delivered
        self._funded = funded
        self._say = say
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """A transfer has been kept."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                await self.make()
            except LOST as error:
                self._say(f"liquidity transfers wait, the database is away: {error!r}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), PERIOD_SECONDS)
            self._wake.clear()

    async def make(self) -> None:
        """Make what is open, ledger by ledger; what gets no answer is tried again."""
        by_ledger: dict[LedgerId, list[Record]] = {}
        for row in await self._pool.fetch(QUERIES["open_transfers"], BATCH_MAX):
            by_ledger.setdefault(LedgerId(row["ledger"]), []).append(row)
        for name, rows in by_ledger.items():
            for row, answer in zip(rows, await self._ask(name, rows), strict=True):
                if isinstance(answer, Answer) and answer.refusal is not Refusal.OVERLOADED:
                    await self._answer(row, answer.refusal)

    async def _ask(self, name: LedgerId, rows: Sequence[Record]) -> Sequence[Answer | Unknown]:
        link = self._links.get(name)
        if link is None:
            return [Unknown(why=f"ledger {name} is not configured any more")] * len(rows)
        try:
            return await link.ledger.apply([_operation(row) for row in rows])
        except RemoteLedgerError as error:
            self._say(f"PAGE: ledger {name} refuses the gateway: {error}")
            return [Unknown(why=str(error))] * len(rows)

    async def _answer(self, row: Record, refusal: Refusal | None) -> None:
        code = None if refusal is None else REFUSED.get(refusal, TransferReason.AB04)
        message = receipt(
            _transfer.decode(row["content"]), code, None if code is None else code.meaning
        )
        about = related_of(row["header"])
        async with self._pool.acquire() as connection, connection.transaction():
            if await connection.fetchval(QUERIES["answer_transfer"], row["transfer"]) is None:
                return  # another replica has told it
            told = notice_to(row["member"], message, self._now(), about=about)
            await deliver(connection, [told])
        self._delivered({row["member"]})
        if code is None:
            self._funded((LedgerId(row["ledger"]), row["credit_account"], AssetId(row["asset"])))


def _operation(row: Record) -> Transfer:
    return Transfer(
        id=str(row["transfer"]),
        debit=AccountId(row["debit_account"]),
        credit=AccountId(row["credit_account"]),
        asset=AssetId(row["asset"]),
        quantity=Quantity(row["quantity"]),
    )
