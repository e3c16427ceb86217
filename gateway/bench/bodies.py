"""What the load generator sends: made once for each lane by our own codecs, then patched.

A patched body costs a few microseconds, so that what is measured is the gateway and not the client.
Every trade has an id, a quantity and an amount of its own; so instructions match their counterpart
only, as in a real market.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

import msgspec

from gateway.bench.plan import Asset, Holder, Lane, Site
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

ID, QUANTITY, AMOUNT = b"@ID@", b"@QUANTITY@", b"@AMOUNT@"
_PLACE: Final = re.compile(b"(@[A-Z]+@)")
_PADDED_AMOUNT: Final = re.compile(AMOUNT + rb"[.0]*")
"""The codec writes the decimals of a currency behind what it takes for a whole number."""

SECU, CASH = "SECU", "CASH"


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """One DvP: where, who sells, how much, in the assets' smallest units."""

    id: str
    lane: Lane
    reverse: bool  # `other` sells to `one`
    quantity: int
    amount: int

    @property
    def seller(self) -> Holder:
        return self.lane.other if self.reverse else self.lane.one

    @property
    def buyer(self) -> Holder:
        return self.lane.one if self.reverse else self.lane.other

    @property
    def values(self) -> dict[bytes, bytes]:
        """What stands in the places of a template."""
        return {
            ID: self.id.encode(),
            QUANTITY: decimal(self.quantity, self.lane.security.scale),
            AMOUNT: decimal(self.amount, self.lane.cash.scale),
        }


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
        template = self._template(trade, "json")
        return template.filled(trade.values)

    def instruction(self, trade: Trade, movement: Movement) -> bytes:
        """One side's sese.023 in a BizMsg; its BizMsgIdr is `message_id`."""
        template = self._template(trade, movement)
        return template.filled(trade.values)

    def _template(self, trade: Trade, kind: str) -> Template:
        key = (id(trade.lane), trade.reverse, kind)
        found = self._templates.get(key)
        if found is None:
            body = self._proposal(trade) if kind == "json" else self._message(trade, kind)
            found = self._templates[key] = Template(body)
        return found

    def _proposal(self, trade: Trade) -> bytes:
        lane = trade.lane
        seller, buyer = trade.seller, trade.buyer
        legs = (
            self._leg(SECU, lane.security, QUANTITY, seller, buyer),
            self._leg(CASH, lane.cash, AMOUNT, buyer, seller),
        )
        proposal = wire.Proposal(id=ID.decode(), legs=legs, protocol=self._protocol)
        return msgspec.json.encode(proposal)

    def _leg(
        self, name: str, asset: Asset, place: bytes, payer: Holder, payee: Holder
    ) -> wire.LegProposal:
        return wire.LegProposal(
            leg=name,
            ledger=asset.ledger,
            asset=asset.code,
            quantity=place.decode(),
            payer=self._party(name, payer),
            payee=self._party(name, payee),
        )

    def _party(self, leg: str, holder: Holder) -> wire.PartyProposal:
        account = holder.securities_account if leg == SECU else holder.cash_account
        return wire.PartyProposal(member=MemberId(self._bic(holder)), account=AccountId(account))

    def _bic(self, holder: Holder) -> str:
        return self._site.members[holder.member].bic

    def _message(self, trade: Trade, movement: str) -> bytes:
        delivers = movement == Movement.DELI
        own = trade.seller if delivers else trade.buyer
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
        lane = trade.lane
        return SettlementInstruction(
            sender=self._bic(own),
            definition=DEFINITION,
            transaction_id=message_id(ID.decode(), ""),
            movement=Movement.DELI if delivers else Movement.RECE,
            payment=Payment.APMT,
            common_id=message_id(ID.decode(), ""),
            trade_date=day - timedelta(days=2),
            settlement_date=day,
            isin=lane.security.code,
            quantity_type=QuantityType(lane.security.quantity_type),
            quantity=QUANTITY.decode(),
            safekeeping_account=own.securities_account,
            cash_account=own.cash_account,
            transaction_type="TRAD",
            delivering=self._chain(trade.seller),
            receiving=self._chain(trade.buyer),
            amount=AMOUNT.decode(),
            currency=lane.cash.code,
            credit_debit=CreditDebit.CRDT if delivers else CreditDebit.DBIT,
        )

    def _chain(self, holder: Holder) -> SettlementParties:
        return SettlementParties(depository=self._site.depository, party1=self._bic(holder))


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
