"""What the load generator sends: made once for each lane by our own codecs, then patched.

A patched body costs a few microseconds, so that what is measured is the gateway and not the client.
Every trade has an id, a quantity and an amount of its own; so instructions match their counterpart
only, as in a real market.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

import msgspec

from gateway.bench.plan import Fate, Holder, Site
from gateway.bench.trade import Trade, Transfer
from gateway.http import notation, wire
from htlc.swap import LockProtocol
from htlc.units import AccountId, MemberId
from protocols.iso20022 import render, sese023_write
from protocols.iso20022.header import Header
from protocols.iso20022.instruction import (
    CreditDebit,
    Movement,
    Payment,
    QuantityType,
    SettlementInstruction,
    SettlementParties,
)

DEFINITION: Final = "sese.023.001.11"

ID, QUANTITY, AMOUNT = b"@ID@", b"@Q0@", b"@Q1@"
_QUANTITIES: Final = (QUANTITY, AMOUNT, b"@Q2@", b"@Q3@")
"""Of each leg."""

_PLACE: Final = re.compile(b"(@[A-Z0-9]+@)")
_PADDED_AMOUNT: Final = re.compile(AMOUNT + rb"[.0]*")
"""The codec writes the decimals of a currency behind what it takes for a whole number."""

FAIL_SECONDS: Final = 3.0
"""From sending a trade that must fail until it may not be committed any more: longer than the skew
that a gateway allows for, and no longer than one wants to wait for the end of a round."""


@lru_cache(maxsize=4096)  # the bench draws from a thousand quantities
def decimal(units: int, scale: int) -> bytes:
    """Units of an asset as they stand in a body."""
    return notation.decimal(units, scale).encode()


class Template:
    """A body with places to be filled."""

    def __init__(self, body: bytes) -> None:
        self._parts = _PLACE.split(body)

    def filled(self, values: Mapping[bytes, bytes]) -> bytes:
        return b"".join([values.get(part, part) for part in self._parts])


class Bodies:
    """The templates of one site, each made when it is first needed."""

    def __init__(self, site: Site, protocol: str | None = None) -> None:
        self._site = site
        self._protocol = None if protocol is None else LockProtocol(protocol)
        self._templates: dict[tuple[int, bool, str], Template] = {}

    def proposal(self, trade: Trade) -> bytes:
        """The agreed swap of a trade, as JSON."""
        if trade.fate is Fate.SETTLED:
            return self._template(trade, "json").filled(_values(trade))
        return Template(self._proposal(trade, _soon())).filled(_values(trade))

    def waiting(self, trade: Trade) -> bytes:
        """A proposal that waits for consent for as long as the gateway lets it."""
        return Template(self._proposal(trade)).filled(_values(trade))

    def instruction(self, trade: Trade, movement: Movement) -> bytes:
        """One side's sese.023 in a BizMsg; its BizMsgIdr is `message_id`."""
        template = self._template(trade, movement)
        return template.filled(_values(trade))

    def _template(self, trade: Trade, kind: str) -> Template:
        key = (id(trade.lane), trade.reverse, kind)
        found = self._templates.get(key)
        if found is None:
            body = self._proposal(trade) if kind == "json" else self._message(trade, kind)
            found = self._templates[key] = Template(body)
        return found

    def _proposal(self, trade: Trade, commit_by: str | None = None) -> bytes:
        proposal = wire.Proposal(
            id=ID.decode(),
            legs=tuple(map(self._leg, self._site.shape.legs, _QUANTITIES, trade.transfers)),
            protocol=self._protocol,
            commit_by=commit_by,
        )
        return msgspec.json.encode(proposal)

    def _leg(self, name: str, place: bytes, transfer: Transfer) -> wire.LegProposal:
        asset = transfer.asset
        return wire.LegProposal(
            leg=name,
            ledger=asset.ledger,
            asset=asset.code,
            quantity=place.decode(),
            payer=self._party(asset.ledger, transfer.payer),
            payee=self._party(asset.ledger, transfer.payee),
        )

    def _party(self, ledger: str, holder: Holder) -> wire.PartyProposal:
        account = AccountId(holder.accounts[ledger])
        return wire.PartyProposal(member=MemberId(self._bic(holder)), account=account)

    def _bic(self, holder: Holder) -> str:
        return self._site.members[holder.member].bic

    def _message(self, trade: Trade, movement: str) -> bytes:
        delivers = movement == Movement.DELI
        own = trade.first_payer if delivers else trade.first_payee
        header = Header(
            sender=self._bic(own),
            receiver=self._site.bic,
            business_message_id=message_id(ID.decode(), movement),
            definition=DEFINITION,
            created_at=1_790_000_000_000_000_000,  # any: it orders nothing
        )
        written = sese023_write.encode(self._instruction(trade, own, delivers), DEFINITION)
        body = render.business_message(header, written).encode()
        return _PADDED_AMOUNT.sub(AMOUNT, body)

    def _instruction(self, trade: Trade, own: Holder, delivers: bool) -> SettlementInstruction:
        day = date.fromisoformat(self._site.business_date)
        security, cash = trade.lane.assets
        return SettlementInstruction(
            sender=self._bic(own),
            definition=DEFINITION,
            transaction_id=message_id(ID.decode(), ""),
            movement=Movement.DELI if delivers else Movement.RECE,
            payment=Payment.APMT,
            common_id=message_id(ID.decode(), ""),
            trade_date=day - timedelta(days=2),
            settlement_date=day,
            isin=security.code,
            quantity_type=QuantityType(security.quantity_type),
            quantity=QUANTITY.decode(),
            safekeeping_account=own.accounts[security.ledger],
            cash_account=own.accounts[cash.ledger],
            transaction_type="TRAD",
            delivering=self._chain(trade.first_payer),
            receiving=self._chain(trade.first_payee),
            amount=AMOUNT.decode(),
            currency=cash.code,
            credit_debit=CreditDebit.CRDT if delivers else CreditDebit.DBIT,
        )

    def _chain(self, holder: Holder) -> SettlementParties:
        assert self._site.depository is not None, "a site of this shape has a registry"
        return SettlementParties(depository=self._site.depository, party1=self._bic(holder))


def _values(trade: Trade) -> dict[bytes, bytes]:
    """What stands in the places of a template."""
    scaled = zip(trade.quantities, trade.lane.assets, strict=True)
    amounts = [decimal(quantity, asset.scale) for quantity, asset in scaled]
    return {ID: trade.id.encode(), **dict(zip(_QUANTITIES, amounts, strict=False))}


def _soon() -> str:
    return f"{datetime.now(UTC) + timedelta(seconds=FAIL_SECONDS):%Y-%m-%dT%H:%M:%S.%fZ}"


def message_id(trade_id: str, movement: str) -> str:
    """BizMsgIdr of one side: at most 35 characters."""
    return trade_id + movement[:1]


def array(proposals: Sequence[bytes]) -> bytes:
    """Many proposals in one request."""
    return b"[%b]" % b",".join(proposals)


_BATCH_HEAD, _BATCH_END = (part.encode() for part in render.batch(["@"]).split("@"))


def batch(messages: Sequence[bytes]) -> bytes:
    """Many BizMsg in one request."""
    return b"%b%b%b" % (_BATCH_HEAD, b"".join(messages), _BATCH_END)
