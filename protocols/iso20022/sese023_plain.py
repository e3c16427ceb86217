"""A sese.023 in its BizMsg that is written as nearly all are, read in one go: header and
instruction out of one expression, without a tree and without asking the schemas.

What the expression takes is a part of what the schemas of all five versions take, and is read as
`header.read` and `sese023.decode` read it: a test holds it against them. Everything else (lock
blocks, links, prefixes, entities, comments, any other element) is left to them, and so is every
refusal. Parser, schemas and tree are two thirds of what it costs to take an instruction in.
"""

import re
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple

from protocols.iso20022 import expressions as x
from protocols.iso20022 import header as app_hdr
from protocols.iso20022.expressions import branch, leaf, literal, optional
from protocols.iso20022.header import Header
from protocols.iso20022.instruction import (
    CUM_EX,
    DIRECTIONS,
    MOVEMENTS,
    PAYMENTS,
    QUANTITY_TYPES,
    Client,
    SettlementInstruction,
    SettlementParties,
)
from protocols.iso20022.lexical import decimal_text
from protocols.iso20022.schemas import BIZMSG, ISO


class PlainInstruction(NamedTuple):
    """What header and document of one message say, and the message alone as it was written."""

    header: Header
    instruction: SettlementInstruction
    raw: bytes


def _bic(name: str) -> str:
    return branch(name, leaf("AnyBIC", x.BIC))


def _account() -> str:
    return branch("SfkpgAcct", leaf("Id", x.TEXT35))


def _date(name: str) -> str:
    return branch(name, branch("Dt", leaf("Dt", x.DATE)))


_PARTY1: Final = branch(
    "Pty1",
    _bic("Id"),
    optional(leaf("LEI", x.LEI)),
    optional(_account()),
    optional(leaf("PrcgId", x.TEXT35)),
)
_PARTY2: Final = branch(
    "Pty2", _bic("Id"), optional(_account()), optional(leaf("PrcgId", x.TEXT35))
)


def _parties(name: str) -> str:
    return branch(name, branch("Dpstry", _bic("Id")), _PARTY1, optional(_PARTY2))


_INSTRUCTION: Final = branch(
    "SctiesSttlmTxInstr",
    leaf("TxId", x.TEXT35),
    branch(
        "SttlmTpAndAddtlParams",
        leaf("SctiesMvmntTp", "(DELI|RECE)"),
        leaf("Pmt", "(APMT|FREE)"),
        optional(leaf("CmonId", x.TEXT35)),
    ),
    branch(
        "TradDtls",
        _date("TradDt"),
        _date("SttlmDt"),
        optional(branch("TradTxCond", leaf("Cd", "(CCPN|XCPN)"))),
    ),
    branch("FinInstrmId", leaf("ISIN", x.ISIN)),
    branch(
        "QtyAndAcctDtls",
        branch("SttlmQty", branch("Qty", rf"<(?P<of>FaceAmt|Unit)>{x.DECIMAL}</(?P=of)>{x.SPACE}")),
        optional(branch("AcctOwnr", _bic("Id"))),
        _account(),  # mandatory before version .11
        optional(branch("CshAcct", leaf("Prtry", x.TEXT34))),
    ),
    branch(
        "SttlmParams",
        optional(branch("HldInd", leaf("Ind", x.BOOLEAN))),
        optional(branch("Prty", leaf("Nmrc", "([0-9]{4})"))),
        branch("SctiesTxTp", leaf("Cd", "(TRAD)")),
        optional(branch("SttlmTxCond", leaf("Cd", "(NOMC)"))),
        optional(leaf("PrtlSttlmInd", "(PART|NPAR|PARC|PARQ)")),
    ),
    _parties("DlvrgSttlmPties"),
    _parties("RcvgSttlmPties"),
    branch(
        "SttlmAmt",
        leaf("Amt", x.DECIMAL, f' Ccy="{x.CURRENCY}"'),
        leaf("CdtDbtInd", "(CRDT|DBIT)"),
    ),
)
_MESSAGE: Final = re.compile(
    rf'<BizMsg( xmlns="{literal(BIZMSG)}")?+>({x.SPACE}{app_hdr.APP_HDR}'
    + branch("Document", _INSTRUCTION, namespace=rf"{literal(ISO)}(sese\.023\.001\.(?:09|1[0-3]))")
    + f"</BizMsg>){x.SPACE}"
)
_OPENING: Final = re.compile(
    rf"""(?:<\?xml version=["']1\.0["'](?: encoding=["'](?:UTF|utf)-8["'])?\ ?\?>{x.SPACE})?+"""
    rf'(<BizMsgs xmlns="{literal(BIZMSG)}">{x.SPACE})?+'
)
_CLOSING: Final = "</BizMsgs>"
_ROOT: Final = f'<BizMsg xmlns="{BIZMSG}">'.encode()


def split(body: bytes, *, messages_max: int, bytes_max: int) -> tuple[PlainInstruction, ...] | None:
    """The messages of a body, alone or in a batch; None if not all of them are written plainly, or
    there are too many, or one is larger than agreed."""
    try:
        text = body.decode("ascii")
    except UnicodeDecodeError:
        return None
    opening = _OPENING.match(text)
    assert opening is not None, "it may be empty"
    place, is_batch = opening.end(), opening[1] is not None
    read: list[PlainInstruction] = []
    while (found := _MESSAGE.match(text, place)) is not None:
        raw = _raw(body, found) if is_batch else body
        if len(raw) > bytes_max or len(read) == messages_max:
            return None
        one = _read(raw, found.groups()[2:])
        if one is None:
            return None
        read.append(one)
        place = found.end()
        if not is_batch:
            return tuple(read) if place == len(text) and found[1] else None
    ends = is_batch and text[place:].rstrip(" \t\r\n") == _CLOSING
    return tuple(read) if ends and read else None


def _raw(body: bytes, found: re.Match[str]) -> bytes:
    """A message of a batch on its own; one character is one byte."""
    if found[1] is not None:
        return body[found.start() : found.end(2)]
    return _ROOT + body[found.start(2) : found.end(2)]


def _read(raw: bytes, groups: Sequence[str]) -> PlainInstruction | None:
    """The groups of the expression as values; None if a time is none, or the header names another
    message."""
    header = app_hdr.of_plain(*groups[: app_hdr.GROUPS])
    definition, *said = groups[app_hdr.GROUPS :]
    if header is None or header.definition != definition:
        return None
    try:
        return PlainInstruction(header, _instruction(header.sender, definition, *said), raw)
    except ValueError:  # no date
        return None


def _instruction(
    sender: str,
    definition: str,
    transaction_id: str,
    movement: str,
    payment: str,
    common_id: str | None,
    traded: str,
    settles: str,
    cum_ex: str | None,
    isin: str,
    quantity_type: str,
    quantity: str,
    owner: str | None,
    account: str,
    cash_account: str | None,
    hold: str | None,
    priority: str | None,
    transaction_type: str,
    condition: str | None,
    partial: str | None,
    *more: str,
) -> SettlementInstruction:
    currency, amount, credit_debit = more[-3:]
    return SettlementInstruction(
        sender=sender,
        definition=definition,
        transaction_id=transaction_id,
        movement=MOVEMENTS[movement],
        payment=PAYMENTS[payment],
        common_id=common_id,
        trade_date=date.fromisoformat(traded),
        settlement_date=date.fromisoformat(settles),
        isin=isin,
        quantity_type=QUANTITY_TYPES[quantity_type],
        quantity=decimal_text(quantity),
        account_owner=owner,
        safekeeping_account=account,
        cash_account=cash_account,
        hold=hold == "true",
        priority=priority,
        transaction_type=transaction_type,
        opt_out=condition is not None,
        cum_ex=None if cum_ex is None else CUM_EX[cum_ex],
        partial=partial,
        delivering=_side(*more[:_SIDE_GROUPS]),
        receiving=_side(*more[_SIDE_GROUPS:-3]),
        amount=decimal_text(amount),
        currency=currency,
        credit_debit=DIRECTIONS[credit_debit],
    )


_SIDE_GROUPS: Final = 8
"""Of the expression, for each side: what `_side` takes."""


@lru_cache(maxsize=4096)  # the same members trade with each other all day; some MB
def _side(
    depository: str,
    party1: str,
    lei: str | None,
    account: str | None,
    processing_id: str | None,
    client: str | None,
    clients_account: str | None,
    clients_processing_id: str | None,
) -> SettlementParties:
    return SettlementParties(
        depository=depository,
        party1=party1,
        lei=lei,
        account=account,
        processing_id=processing_id,
        party2=None
        if client is None
        else Client(bic=client, account=clients_account, processing_id=clients_processing_id),
    )
