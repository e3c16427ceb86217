"""Examples of the published description: one settlement and one message, in every form.

They are made by the code that makes the real ones, so they cannot fall behind it.
"""

from datetime import date
from typing import Final

from gateway.http import notation, report_wire, wire
from gateway.http.heads import SERVICE, message_id
from htlc.agreement import TRUSTS, PrincipalRisk
from htlc.events import Decision
from htlc.hashlock import HashFunction
from htlc.leg import LegStatus
from htlc.swap import LockProtocol, Party
from htlc.units import AccountId, AssetId, MemberId
from ledgers.port import AssetDescription, LockKind
from protocols.iso20022 import admi, header, json_form, render
from protocols.iso20022.advice import Receipt, Rejection
from protocols.iso20022.errors import RejectCode
from protocols.iso20022.header import Header
from protocols.iso20022.instruction import (
    CreditDebit,
    Movement,
    Payment,
    QuantityType,
    SettlementInstruction,
    SettlementParties,
)
from protocols.iso20022.sese023_write import encode

SELLER: Final = "SELADEF0XXX"
BUYER: Final = "BUYRFRP0XXX"
GATEWAY: Final = "DVPGNL20XXX"
ISIN: Final = "XS9990000010"

_ID: Final = "0192f3c4-5d6e-7f80-9a1b-2c3d4e5f6071"
_AT: Final = 1_791_277_200_000_000_000
_AT_TEXT: Final = "2026-10-06T09:00:00Z"

_SECURITIES_SELLER: Final = wire.PartyProposal(member=SELLER, account="REGA-SELADE-0001")
_SECURITIES_BUYER: Final = wire.PartyProposal(member=BUYER, account="REGA-BUYRFR-0001")
_CASH_SELLER: Final = wire.PartyProposal(member=SELLER, account="EUR-CBKA-SELADE")
_CASH_BUYER: Final = wire.PartyProposal(member=BUYER, account="EUR-CBKA-BUYRFR")

PROPOSAL: Final = wire.Proposal(
    id=_ID,
    legs=(
        wire.LegProposal(
            leg="SECU",
            ledger="registry",
            asset=ISIN,
            quantity="1000000",
            payer=_SECURITIES_SELLER,
            payee=_SECURITIES_BUYER,
        ),
        wire.LegProposal(
            leg="CASH",
            ledger="eur",
            asset="EUR",
            quantity="998750.00",
            payer=_CASH_BUYER,
            payee=_CASH_SELLER,
        ),
    ),
)


def _party(party: wire.PartyProposal) -> Party:
    return Party(member=MemberId(party.member), account=AccountId(party.account))


def _leg(leg: wire.LegProposal) -> wire.LegView:
    return wire.LegView(
        leg=leg.leg,
        ledger=leg.ledger,
        asset=leg.asset,
        quantity=leg.quantity,
        payer=_party(leg.payer),
        payee=_party(leg.payee),
        contract=None,
        state=LegStatus.UNSEEN,
        final=False,
        lock_by=None,
        expires_at=None,
        ended_at=None,
        refusal=None,
    )


SETTLEMENT: Final = wire.SettlementView(
    id=_ID,
    state="LOCKING",
    created_at=_AT_TEXT,
    commit_by="2026-10-06T09:01:00Z",
    protocol=LockProtocol.TWO_KEY,
    principal_risk=wire.Risk(level=PrincipalRisk.NONE, window_seconds=None),
    safe_downtime_seconds=None,
    trusts=TRUSTS[LockProtocol.TWO_KEY],
    decision=None,
    awaits=(),
    pair=None,
    legs=tuple(_leg(leg) for leg in PROPOSAL.legs),
)

SETTLEMENTS: Final = wire.SettlementPage(
    settlements=(wire.SettlementLine(id=_ID, created_at=_AT_TEXT, state="SETTLED"),), next=None
)

RELEASE: Final = wire.Release(leg="CASH", preimage="01" * 32)
RESOLVING: Final = wire.Resolving(
    decision=Decision.COMMIT, evidence="both parties hold the confirmation, ref. 2026/77"
)
CANCELLATION: Final = wire.Cancellation(reason="agreed with the counterparty")
ACKNOWLEDGEMENT: Final = wire.Acknowledgement(through=notation.cursor(42))

WEBHOOK_SETTING: Final = wire.WebhookSetting(
    url="https://custodian.example/lockstep",
    secret="bM2HcPq7dVx0sJ9tYw4kE1uZ",  # noqa: S106 - an example
)
WEBHOOK: Final = wire.WebhookView(
    url="https://custodian.example/lockstep",
    state="failing",
    set_at=_AT_TEXT,
    failures=3,
    fault="answered 503",
    next_at=_AT_TEXT,
)

STATEMENT_REQUEST: Final = {"kind": "cash", "ledger": "eur"}

STATEMENTS: Final = report_wire.StatementList(
    statements=(
        report_wire.StatementView(
            id="0192f3c45d6e7f809a1b2c3d4e5f6071",
            kind="cash",
            ledger="eur",
            account="EUR-SELADE-0001",
            asset="EUR",
            frequency="INDA",
            business_date=date(2026, 10, 8),
            number=1,
            pages=1,
            definition="camt.053.001.08",
        ),
    )
)

RECONCILIATION: Final = report_wire.ReconciliationView(
    running=False,
    agreed=False,
    ledgers=(
        report_wire.LedgerReconciliation(
            ledger="eur",
            business_date=date(2026, 10, 8),
            started_at="2026-10-08T19:00:00Z",
            ended_at="2026-10-08T19:00:04Z",
            holdings=412,
            facts=18_204,
            totals=(
                report_wire.TotalView(
                    asset="EUR",
                    issued="2000000.00",
                    held="2000000.50",
                    locked="0.00",
                    told="2000000.00",
                ),
            ),
            failure=None,
        ),
    ),
    breaks=(
        report_wire.BreakView(
            number=1,
            ledger="eur",
            asset="EUR",
            account=None,
            kind="issued",
            expected="2000000.00",
            found="2000000.50",
            amount="0.50",
            what="the accounts do not hold what was issued",
            first_seen_at="2026-10-08T19:00:04Z",
            last_seen_at="2026-10-08T19:00:04Z",
            lifted_at=None,
            age_seconds=60.0,
        ),
    ),
)

LEDGERS: Final = wire.LedgerList(
    ledgers=(
        wire.LedgerView(
            name="eur",
            kind="currency",
            reachable=True,
            clock_at=_AT_TEXT,
            lock_kinds=(LockKind.TWO_KEY, LockKind.HTLC),
            hash_functions=(HashFunction(),),
            finality_seconds=0.0,
            skew_seconds=1.0,
            public_key=None,
            assets=(AssetDescription(asset=AssetId("EUR"), scale=2, quantity_type="Ccy"),),
        ),
    )
)

_INSTRUCTION: Final = SettlementInstruction(
    sender=SELLER,
    definition="sese.023.001.11",
    transaction_id="SELA2610060001",
    movement=Movement.DELI,
    payment=Payment.APMT,
    common_id="TRD-2026-000417",
    trade_date=date(2026, 10, 6),
    settlement_date=date(2026, 10, 8),
    isin=ISIN,
    quantity_type=QuantityType.FACE_AMOUNT,
    quantity="1000000",
    safekeeping_account="REGA-SELADE-0001",
    delivering=SettlementParties(depository="REGADEF0XXX", party1=SELLER),
    receiving=SettlementParties(depository="REGADEF0XXX", party1=BUYER),
    amount="998750",
    currency="EUR",
    credit_debit=CreditDebit.CRDT,
)

_SENT: Final = Header(
    sender=SELLER,
    receiver=GATEWAY,
    business_message_id="SELA-BMI-20261006-00012",
    definition="sese.023.001.11",
    business_service=SERVICE,
    created_at=_AT,
)

_RELATED: Final = header.Related(
    sender=SELLER,
    receiver=GATEWAY,
    business_message_id=_SENT.business_message_id,
    definition=_SENT.definition,
    created_at=_AT,
)


def _reply(definition: str) -> Header:
    return Header(
        sender=GATEWAY,
        receiver=SELLER,
        business_message_id=message_id(_ID),
        definition=definition,
        business_service=SERVICE,
        created_at=_AT,
        related=_RELATED,
    )


MESSAGE_XML: Final = render.business_message(_SENT, encode(_INSTRUCTION))
MESSAGE_JSON: Final = json_form.to_json(MESSAGE_XML)
MESSAGE_TAKEN: Final = wire.MessageTaken(id=_ID)

RECEIPT_XML: Final = render.render(
    Receipt(
        message_id=message_id(_ID),
        received_at=_AT,
        reference=_SENT.business_message_id,
        definition=_SENT.definition,
        sender=SELLER,
    ),
    _reply(admi.RECEIPT),
)

REJECTION_XML: Final = render.render(
    Rejection(
        reference=_SENT.business_message_id,
        code=RejectCode.XDUP,
        rejected_at=_AT,
        description=RejectCode.XDUP.meaning,
    ),
    _reply(admi.REJECTION),
)

_DELIVERY: Final = wire.Delivery(
    cursor=notation.cursor(42),
    id=message_id(_ID),
    definition=admi.RECEIPT,
    related=_SENT.business_message_id,
    created_at=_AT_TEXT,
    settlement=None,
    xml=RECEIPT_XML,
)

CONVERSATION: Final = wire.Conversation(
    messages=(
        wire.Said(
            direction="in",
            id=_SENT.business_message_id,
            definition=_SENT.definition,
            related=None,
            at=_AT_TEXT,
            xml=MESSAGE_XML,
        ),
    )
)
PAGE: Final = wire.DeliveryPage(messages=(_DELIVERY,), next=_DELIVERY.cursor)
EVENT: Final = f'id: {_DELIVERY.cursor}\ndata: {{"cursor":"{_DELIVERY.cursor}","xml":"…"}}\n\n'
