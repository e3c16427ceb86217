"""Payment versus payment whose secret side A holds, agreed by fxtr.014: consent, release, end."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from gateway.config import LimitSettings
from gateway.fx_pairs import FxPair, FxSide
from gateway.port import Denied, View
from htlc.contract import Unknown
from htlc.hashlock import HashFunction
from htlc.settlement import Phase
from htlc.swap import LockProtocol
from htlc.units import LedgerId
from protocols.iso20022 import envelope, lock_block
from protocols.iso20022.fx import FxTrade, Rate
from protocols.iso20022.header import Related
from protocols.iso20022.lock_block import (
    HashAlgorithm,
    HashLock,
    LegExpiry,
    LockBlock,
    LockStatus,
)
from protocols.iso20022.lock_block import SecretHolder as Holder
from tests.gateway.requests import ask, enveloped
from tests.gateway.systems import OPENING, System, until
from tests.gateway.test_agreed_swaps import member
from tests.gateway.test_fx_payments import heard
from tests.gateway.test_fx_trades import BANK_A, BANK_B, ends, said, send, stopped, told, trade
from tests.gateway.test_party_secrets import PREIMAGE, block, waits_for_the_secret

__all__ = ["stopped"]


def terms(**changes: object) -> LockBlock:
    """A's: what it pays itself comes back an hour after what it is paid."""
    of_dvp = block()
    later, sooner = (expiry.expires_at for expiry in of_dvp.expiries)
    plain = replace(
        of_dvp,
        leg="FXSA",
        expiries=(
            LegExpiry(leg="FXSA", expires_at=later),
            LegExpiry(leg="FXSB", expires_at=sooner),
        ),
        secret_holder=Holder(bic=BANK_A, role="SIDA"),
    )
    return replace(plain, **changes)


@pytest.fixture
async def paying(stopped: System) -> AsyncIterator[System]:
    """B pays by its own orders; a lock that lasts is told soon."""
    members = tuple(
        replace(item, power_of_attorney=item.bic != BANK_B, advise_after_seconds=0.1)
        for item in stopped.settings.members
    )
    async with stopped.gateway(members=members) as running:
        yield running


def order(item: FxTrade, lock: LockBlock | None) -> envelope.Enveloped:
    """A pacs.009 of what a side sells; with a block it consents to the locks, too."""
    said = "" if lock is None else lock_block.write(lock, "/Document/FICdtTrf/CdtTrfTxInf")
    return enveloped(
        item.sender,
        "pacs.009.001.08",
        "<FICdtTrf><GrpHdr><MsgId>P9</MsgId><CreDtTm>2026-10-08T07:00:00Z</CreDtTm>"
        "<NbOfTxs>1</NbOfTxs><SttlmInf><SttlmMtd>CLRG</SttlmMtd></SttlmInf></GrpHdr>"
        f"<CdtTrfTxInf><PmtId><InstrId>{item.transaction_id}</InstrId>"
        "<EndToEndId>NOTPROVIDED</EndToEndId></PmtId>"
        f'<IntrBkSttlmAmt Ccy="{item.sells.currency}">{item.sells.amount}</IntrBkSttlmAmt>'
        f"<Dbtr><FinInstnId><BICFI>{item.party}</BICFI></FinInstnId></Dbtr>"
        f"<Cdtr><FinInstnId><BICFI>{item.counterparty}</BICFI></FinInstnId></Cdtr>"
        f"{said}</CdtTrfTxInf></FICdtTrf>",
    )


async def test_side_a_hands_over_its_secret_and_both_are_paid(stopped: System) -> None:
    soon = tuple(replace(item, advise_after_seconds=0.1) for item in stopped.settings.members)
    async with stopped.gateway(members=soon) as running:
        agreed = terms()
        await send(running, trade(BANK_B, lock=agreed))
        await send(running, trade(BANK_A, lock=agreed))
        id = await waits_for_the_secret(running)
        state = running.engine.runner.lives[id].state
        assert state.protocol is LockProtocol.HTLC
        assert [leg.leg for leg in state.swap.legs] == ["FXSA", "FXSB"]
        assert state.swap.legs[0].payer.member == BANK_A
        expiries = [leg.terms.expires_at for leg in state.agreed.legs]
        assert expiries == [expiry.expires_at for expiry in agreed.expiries]
        await until(lambda: _last(running, BANK_A, "SMAP HLKD"))
        await until(lambda: _last(running, BANK_B, "SMAP HLKD"))
        denied = await running.desk.release(member(BANK_B), id, "FXSA", PREIMAGE)
        assert isinstance(denied, Denied)
        assert isinstance(await running.desk.release(member(BANK_A), id, "FXSB", PREIMAGE), View)
        await until(lambda: ends(running))
        assert await said(running, BANK_A) == ["FMTC", "SMAP HLKD", "STLD"]
        assert await said(running, BANK_B) == ["UMTC", "FMTC", "SMAP HLKD", "STLD"]
        assert await running.balance("euro", BANK_B, "EUR") == (OPENING["EUR"] + 1_000_000_00, 0)
        assert await running.balance("franc", BANK_A, "CHF") == (OPENING["CHF"] + 941_200_00, 0)
        assert PREIMAGE.hex() not in str(await running.desk.read(BANK_B, after=0, limit=99))

        await send(running, trade(BANK_A, lock=agreed))  # a hash is used once
        await send(running, trade(BANK_B))
        await until(lambda: ends(running, 2))
        assert (await said(running, BANK_A))[-1] == (await said(running, BANK_B))[-1] == "RSCD"


async def _last(running: System, member: str, what: str) -> bool:
    return (await said(running, member))[-1] == what


async def test_side_b_consents_by_its_trade_its_order_or_by_accept(paying: System) -> None:
    """Its order without the block moves the money, and says nothing of the locks."""
    for number, (by_trade, by_order) in enumerate(
        ((True, False), (False, True), (False, False)), start=1
    ):
        secret = bytes([number]) * 32
        lock = HashLock(algorithm=HashAlgorithm.SHA256, digest=HashFunction().digest(secret).hex())
        agreed = terms(execution_lock=lock)
        theirs = trade(BANK_B, lock=agreed if by_trade else None)
        await send(paying, trade(BANK_A, lock=agreed))
        await send(paying, theirs)
        await ask(paying, order(theirs, agreed if by_order else None))
        if not (by_trade or by_order):
            (live,) = paying.engine.runner.lives.values()
            assert live.state.phase is Phase.PROPOSED
            assert live.state.consents == {BANK_A}
            assert isinstance(await paying.desk.accept(member(BANK_B), live.id), View)
        id = await waits_for_the_secret(paying)
        assert paying.engine.runner.lives[id].state.consents == {BANK_A, BANK_B}
        assert isinstance(await paying.desk.release(member(BANK_A), id, "FXSB", secret), View)
        await until(lambda count=number: _settled(paying, count))
    assert "lockstep" in str(await paying.desk.read(BANK_B, after=0, limit=99))


async def _settled(running: System, count: int) -> bool:
    return (await heard(running, BANK_A)).count("STLD") == count


async def test_each_status_of_a_trade_and_of_its_payment_is_told_once(
    stopped: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The payment is decided and not made while the other one is: that is no second ACSP."""
    soon = tuple(replace(item, advise_after_seconds=0.1) for item in stopped.settings.members)
    patient = LimitSettings(lock_within_seconds=60.0)
    async with stopped.gateway(members=soon, limits=patient) as running:
        euro, franc = (running.engine.links[LedgerId(name)] for name in ("euro", "franc"))
        franc.trusted = False
        await send(running, trade(BANK_A, lock=terms()))
        await send(running, trade(BANK_B))
        await until(lambda: _last(running, BANK_A, "SMAP ALKD"))
        franc.trusted = True
        id = await waits_for_the_secret(running)
        await until(lambda: _last(running, BANK_A, "SMAP HLKD"))
        away = Unknown(why="the ledger is away")
        runner = running.engine.runner
        monkeypatch.setattr(euro, "put", lambda tasks: runner.told(tasks, [away for _ in tasks]))
        assert isinstance(await running.desk.release(member(BANK_A), id, "FXSB", PREIMAGE), View)
        await until(lambda: _last(running, BANK_A, "SMAP BCLM"))
        monkeypatch.undo()
        await until(lambda: ends(running))
        heard_of = [word for word in await heard(running, BANK_A) if not word.startswith("054")]
        assert heard_of == [
            "UMTC",
            "FMTC",
            "002/PDNG",
            "SMAP ALKD",
            "002/ACSP",
            "SMAP HLKD",
            "SMAP BCLM",  # B's payment is made, A's is not
            "002/ACSC",
            "STLD",
        ]
        shown = [each.lock for each in await told(running, BANK_B) if each.lock is not None]
        assert [(each.leg, each.status) for each in shown] == [
            ("FXSA", LockStatus.LOCKED),
            ("FXSB", LockStatus.LOCKED),
            ("FXSB", LockStatus.CLAIMED),
        ]
        assert {each.secret_holder for each in shown} >= {Holder(bic=BANK_A, role="SIDA")}
        assert all(each.execution_lock == terms().execution_lock for each in shown)


async def test_what_side_a_pays_is_locked_first(stopped: System) -> None:
    """B's money does not move before A's is there: who knows the secret could take it alone."""
    patient = LimitSettings(lock_within_seconds=60.0)
    async with stopped.gateway(limits=patient) as running:
        euro = running.engine.links[LedgerId("euro")]
        euro.trusted = False
        await send(running, trade(BANK_A, lock=terms()))
        await send(running, trade(BANK_B))
        await asyncio.sleep(0.3)
        assert (await running.balance("franc", BANK_B, "CHF"))[1] == 0
        euro.trusted = True
        await waits_for_the_secret(running)
        assert (await running.balance("franc", BANK_B, "CHF"))[1] == 941_200_00


_OTHER_KEY = HashLock(algorithm=HashAlgorithm.SHA256, digest="11" * 32)
_ONE_INSTANT = tuple(LegExpiry(leg=leg, expires_at=2**61) for leg in ("FXSA", "FXSB"))


async def test_a_block_that_cannot_be_is_refused(stopped: System) -> None:
    wrong: tuple[tuple[str, dict[str, object]], ...] = (
        ("ScrtHldr/AnyBIC", {"secret_holder": Holder(bic=BANK_B, role="SIDB")}),
        ("CxlHshLck", {"cancellation_lock": _OTHER_KEY}),
        ("TmLck/Leg", {"expiries": (LegExpiry(leg="CASH", expires_at=2**60),)}),
        ("TmLck/ExpryDtTm", {"expiries": _ONE_INSTANT}),
    )
    async with stopped.gateway() as running:
        for _, changes in wrong:
            await send(running, trade(BANK_A, lock=terms(**changes)))
        assert await said(running, BANK_A) == ["INVA VALR"] * len(wrong)
        for (field, _), status in zip(wrong, await told(running, BANK_A), strict=True):
            text = status.text or ""
            assert text.startswith(f"/Document/FXTradInstr/SplmtryData/Envlp/{field}: ")


def test_the_holder_is_side_a_though_the_other_side_quotes_inversely() -> None:
    """Without a holder the pair's base would be CHF, and side A the other bank: the block's legs
    would be exchanged."""
    inverse = Rate(value="1.0625", decimals=4, unit="CHF", quoted="EUR")
    for lock, side_a in ((terms(), BANK_A), (None, BANK_B)):
        a, b = (
            FxSide(
                id=item.sender,
                member=item.sender,
                related=Related(
                    sender=item.sender,
                    receiver="LCKSNL20XXX",
                    business_message_id="1",
                    definition=item.definition,
                    created_at=1,
                ),
                instruction=item,
                entered_at=1,
            )
            for item in (trade(BANK_A, lock=lock), trade(BANK_B, rate=inverse))
        )
        assert FxPair.of("p", a, b) == FxPair.of("p", b, a)
        assert FxPair.of("p", a, b).a.member == side_a
