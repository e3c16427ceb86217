"""Foreign exchange trades whose sides pay by order: what waits, and what both are told of money."""

from msgspec.structs import replace

from protocols.iso20022.fx import FxStatus
from tests.gateway.cash_messages import brief
from tests.gateway.requests import ask, enveloped
from tests.gateway.systems import System
from tests.gateway.test_fx_trades import BANK_A, BANK_B, send, stopped, trade, until
from tests.gateway.test_instructions import everything

__all__ = ["stopped"]


async def heard(running: System, member: str) -> list[str]:
    return [
        f"{item.status} {item.sub_status or ''}".strip()
        if isinstance(item, FxStatus)
        else brief(item)
        for item in await everything(running, member)
    ]


async def test_an_exchange_waits_for_the_order_of_the_side_that_pays_itself(
    stopped: System,
) -> None:
    members = tuple(
        replace(member, power_of_attorney=member.bic != BANK_A)
        for member in stopped.settings.members
    )
    async with stopped.gateway(members=members) as running:
        mine, other = trade(BANK_A), trade(BANK_B)
        await send(running, mine)
        await send(running, other)
        assert (await heard(running, BANK_A))[-2:] == ["FMTC", "SMAP MONY"]
        assert (await heard(running, BANK_B))[-2:] == ["FMTC", "SMAP CMON"]
        order = enveloped(
            BANK_A,
            "pacs.009.001.08",
            "<FICdtTrf><GrpHdr><MsgId>P9</MsgId><CreDtTm>2026-10-08T07:00:00Z</CreDtTm>"
            "<NbOfTxs>1</NbOfTxs><SttlmInf><SttlmMtd>CLRG</SttlmMtd></SttlmInf></GrpHdr>"
            f"<CdtTrfTxInf><PmtId><InstrId>{mine.transaction_id}</InstrId>"
            "<EndToEndId>NOTPROVIDED</EndToEndId></PmtId>"
            f'<IntrBkSttlmAmt Ccy="{mine.sells.currency}">{mine.sells.amount}</IntrBkSttlmAmt>'
            f"<Dbtr><FinInstnId><BICFI>{BANK_A}</BICFI></FinInstnId></Dbtr>"
            f"<Cdtr><FinInstnId><BICFI>{BANK_B}</BICFI></FinInstnId></Cdtr>"
            "</CdtTrfTxInf></FICdtTrf>",
        )
        await ask(running, order)

        async def settled() -> bool:
            return (await heard(running, BANK_B))[-1] == "STLD"

        await until(settled)
        paid, got = f"054/DBIT/{mine.sells.amount}", f"054/CRDT/{mine.buys.amount}"
        said = await heard(running, BANK_A)
        assert said[-6:-4] == ["002/ACTC", "002/PDNG"]
        assert sorted(said[-4:]) == sorted(["002/ACSC", paid, got, "STLD"])
        paid, got = f"054/DBIT/{mine.buys.amount}", f"054/CRDT/{mine.sells.amount}"
        assert sorted((await heard(running, BANK_B))[-4:]) == sorted(
            ["002/ACSC", paid, got, "STLD"]
        )
