"""Cash messages as members send them, and how the answers read in short."""

from protocols.iso20022 import envelope
from protocols.iso20022.advice import Outbound
from protocols.iso20022.instruction import SettlementInstruction
from protocols.iso20022.payment import (
    CashEntry,
    PaymentStatus,
    RecallAnswer,
    SystemEvent,
    TransferReceipt,
)
from tests.gateway.requests import enveloped, short
from tests.gateway.systems import BUYER, SELLER, System
from tests.gateway.test_instructions import everything

UETR = "8f2b6c1e-6f0a-4c1d-9d57-1b7f4b8a2c10"


def payment(item: SettlementInstruction, id: str = "", **changes: str) -> envelope.Enveloped:
    """A pacs.009 that pays a receiver's instruction; `changes` spoil it."""
    said = {
        "instr": item.transaction_id,
        "e2e": "NOTPROVIDED",
        "uetr": "",
        "amount": item.amount or "",
        "currency": item.currency or "",
        "debtor": item.sender,
        "creditor": SELLER if item.sender == BUYER else BUYER,
        "time": "",
        "more": "",
    } | changes
    instr = f"<InstrId>{said['instr']}</InstrId>" if said["instr"] else ""
    uetr = f"<UETR>{said['uetr']}</UETR>" if said["uetr"] else ""
    time = f"<SttlmTmReq><RjctTm>{said['time']}</RjctTm></SttlmTmReq>" if said["time"] else ""
    return enveloped(
        item.sender,
        "pacs.009.001.08",
        "<FICdtTrf><GrpHdr><MsgId>P9</MsgId><CreDtTm>2026-10-08T07:00:00Z</CreDtTm>"
        "<NbOfTxs>1</NbOfTxs><SttlmInf><SttlmMtd>CLRG</SttlmMtd></SttlmInf></GrpHdr>"
        f"<CdtTrfTxInf><PmtId>{instr}<EndToEndId>{said['e2e']}</EndToEndId>{uetr}</PmtId>"
        f'<IntrBkSttlmAmt Ccy="{said["currency"]}">{said["amount"]}</IntrBkSttlmAmt>'
        f"<IntrBkSttlmDt>{item.settlement_date}</IntrBkSttlmDt>{time}"
        f"<Dbtr><FinInstnId><BICFI>{said['debtor']}</BICFI></FinInstnId></Dbtr>"
        f"<Cdtr><FinInstnId><BICFI>{said['creditor']}</BICFI></FinInstnId></Cdtr>"
        f"{said['more']}</CdtTrfTxInf></FICdtTrf>",
        id,
    )


def recall(item: SettlementInstruction, **changes: str) -> envelope.Enveloped:
    """A camt.056 that asks the payment of an instruction back."""
    said = {"instr": item.transaction_id, "more": ""} | changes
    party = "<Agt><FinInstnId><BICFI>BUYRFRP0XXX</BICFI></FinInstnId></Agt>"
    return enveloped(
        item.sender,
        "camt.056.001.08",
        f"<FIToFIPmtCxlReq><Assgnmt><Id>C1</Id><Assgnr>{party}</Assgnr><Assgne>{party}</Assgne>"
        "<CreDtTm>2026-10-08T07:00:00Z</CreDtTm></Assgnmt><Undrlyg>"
        f"<TxInf><OrgnlInstrId>{said['instr']}</OrgnlInstrId>{said['more']}</TxInf>"
        "</Undrlyg></FIToFIPmtCxlReq>",
    )


def transfer(member: str, debit: str, credit: str, **changes: str) -> envelope.Enveloped:
    """A camt.050 between two accounts."""
    said = {"id": "LT-1", "amount": "1500.00", "currency": "EUR"} | changes
    return enveloped(
        member,
        "camt.050.001.05",
        "<LqdtyCdtTrf><MsgHdr><MsgId>C50</MsgId></MsgHdr><LqdtyCdtTrf>"
        f"<LqdtyTrfId><EndToEndId>{said['id']}</EndToEndId></LqdtyTrfId>"
        f"<CdtrAcct><Id><Othr><Id>{credit}</Id></Othr></Id></CdtrAcct>"
        f'<TrfdAmt><AmtWthCcy Ccy="{said["currency"]}">{said["amount"]}</AmtWthCcy></TrfdAmt>'
        f"<DbtrAcct><Id><Othr><Id>{debit}</Id></Othr></Id></DbtrAcct>"
        "</LqdtyCdtTrf></LqdtyCdtTrf>",
    )


def brief(message: Outbound) -> str:
    """A message in short."""
    match message:
        case PaymentStatus():
            code = f"/{message.code.value}" if message.code else ""
            return f"002/{message.status}{code}"
        case CashEntry():
            return f"054/{message.credit_debit}/{message.amount}"
        case RecallAnswer():
            return f"029/{message.status}" + (f"/{message.code.value}" if message.code else "")
        case TransferReceipt():
            return f"025/{message.code.value if message.code else 'SSET'}"
        case SystemEvent():
            return f"004/{message.code.value}"
        case _:
            return short(message)


async def all_heard(running: System, member: str) -> list[str]:
    """Everything in a member's mailbox, money included, in short."""
    return [brief(message) for message in await everything(running, member)]
