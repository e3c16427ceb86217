"""Requests about instructions, as members send them, and how the answers read in short."""

from gateway.ids import new_id
from gateway.port import Taken
from protocols.iso20022 import envelope, render
from protocols.iso20022.advice import (
    Allegement,
    AllegementRemoval,
    CancellationAnswer,
    HoldAnswer,
    Outbound,
)
from protocols.iso20022.header import Header
from protocols.iso20022.instruction import SettlementInstruction
from protocols.iso20022.schemas import ISO
from tests.gateway import test_instructions as trades
from tests.gateway.systems import System


def enveloped(sender: str, definition: str, document: str, id: str = "") -> envelope.Enveloped:
    """A message of any definition, read as intake reads it."""
    head = Header(
        sender=sender,
        receiver="LCKSNL20XXX",
        business_message_id=id or new_id().replace("-", ""),
        definition=definition,
        created_at=1_790_000_000_000_000_000,
    )
    body = render.business_message(
        head, f'<Document xmlns="{ISO}{definition}">{document}</Document>'
    )
    (item,) = envelope.split(body.encode())
    assert isinstance(item, envelope.Enveloped), item
    return item


def cancellation(item: SettlementInstruction, id: str = "", **changes: str) -> envelope.Enveloped:
    """A sese.020 about an instruction; `changes` spoil it."""
    said = {"tx": item.transaction_id, "movement": item.movement, "account": ""} | changes
    account = f"<SfkpgAcct><Id>{said['account']}</Id></SfkpgAcct>" if said["account"] else ""
    return enveloped(
        item.sender,
        "sese.020.001.07",
        f"<SctiesTxCxlReq><AcctOwnrTxId><SctiesSttlmTxId><TxId>{said['tx']}</TxId>"
        f"<SctiesMvmntTp>{said['movement']}</SctiesMvmntTp><Pmt>{item.payment}</Pmt>"
        f"</SctiesSttlmTxId></AcctOwnrTxId>{account}</SctiesTxCxlReq>",
        id,
    )


def hold(item: SettlementInstruction, held: bool, **changes: str) -> envelope.Enveloped:
    """A sese.030 that holds or releases an instruction; `changes` spoil it."""
    said = {"tx": item.transaction_id, "reason": "PTYH", "more": ""} | changes
    indicator = (
        f"<HldInd><Ind>{str(held).lower()}</Ind>"
        f"<Rsn><Cd><Cd>{said['reason']}</Cd></Cd></Rsn></HldInd>"
    )
    return enveloped(
        item.sender,
        "sese.030.001.09",
        f"<SctiesSttlmCondsModReq><ReqDtls><Ref><AcctOwnrTxId>{said['tx']}</AcctOwnrTxId></Ref>"
        f"{said['more']}{indicator}</ReqDtls></SctiesSttlmCondsModReq>",
    )


async def ask(running: System, *messages: envelope.Enveloped) -> list[Taken]:
    """Send requests of one member, in one batch."""
    taken = await running.desk.take_messages(messages[0].header.sender, messages)
    assert all(isinstance(item, Taken) for item in taken), taken
    return [item for item in taken if isinstance(item, Taken)]


def short(message: Outbound) -> str:
    """A message in short: what it is where that is not plain, status and reasons."""
    if isinstance(message, CancellationAnswer):
        return "/".join(
            ["027", message.status.value, *(reason.code or "" for reason in message.reasons)]
        )
    if isinstance(message, HoldAnswer):
        return "/".join(
            ["031", message.status.value, *(reason.code or "" for reason in message.reasons)]
        )
    if isinstance(message, Allegement | AllegementRemoval):
        return type(message).__name__
    return " ".join(trades.codes(message))


async def heard(running: System, member: str) -> list[str]:
    """Everything in a member's mailbox, in short."""
    return [short(message) for message in await trades.told(running, member)]
