"""Messages and values that several tests share."""

from datetime import date
from pathlib import Path

import msgspec

from protocols.iso20022.advice import (
    Allegement,
    AllegementRemoval,
    Answering,
    CancellationAnswer,
    Confirmation,
    HoldAnswer,
    Matching,
    MatchingStatus,
    Outbound,
    Processing,
    ProcessingStatus,
    Reason,
    Receipt,
    References,
    Rejection,
    SettlementStatus,
    Settling,
    StatusAdvice,
    TransactionDetails,
)
from protocols.iso20022.codes import (
    CancellationPendingReason,
    CancellationReason,
    DeniedReason,
    FailingReason,
    HtlcReason,
    PendingReason,
    RejectionReason,
    RequestRefusal,
    UnmatchedReason,
)
from protocols.iso20022.envelope import Enveloped, split, validate
from protocols.iso20022.errors import ProtocolError, RejectCode
from protocols.iso20022.fx import FxStatus, Operation, TradeStatus
from protocols.iso20022.fxtr014 import decode as decode_trade
from protocols.iso20022.header import Header, Related
from protocols.iso20022.instruction import (
    CreditDebit,
    Movement,
    Payment,
    QuantityType,
    SettlementInstruction,
    SettlementParties,
)
from protocols.iso20022.lexical import instant
from protocols.iso20022.lock_block import LedgerEvent, LockStatus
from protocols.iso20022.render import business_message, definition, render
from protocols.iso20022.rules import Currency, Instrument, Reference
from protocols.iso20022.schemas import namespace_of
from protocols.iso20022.schemas import validate as validate_tree
from protocols.iso20022.sese023 import decode
from protocols.iso20022.xml import parse
from tests.protocols import cash_samples
from tests.protocols.report_samples import reports

DATA = Path(__file__).parent / "data"
GOLDEN = Path(__file__).parent / "golden"

GATEWAY = "DVPGNL20XXX"
SELLER = "SELADEF0XXX"
BUYER = "BUYRFRP0XXX"
REGISTRY = "REGADEF0XXX"
ISIN = "XS9990000010"
TODAY = date(2026, 10, 6)


def sample(name: str) -> str:
    """An example message without its XML declaration."""
    return (DATA / name).read_text("utf-8").split("?>", 1)[1]


def wrapped(head: str, document: str, outer: str = "BizMsg") -> bytes:
    return (
        f'<{outer} xmlns="urn:lockstep:tech:xsd:bizmsg.001.01">{head}{document}</{outer}>'.encode()
    )


def deliver() -> bytes:
    """The seller's example instruction under its header."""
    return wrapped(sample("head.001-sese.023.xml"), sample("sese.023-deliver.xml"))


def one(body: bytes) -> Enveloped:
    (item,) = split(body)
    assert isinstance(item, Enveloped)
    return item


def refused(body: bytes) -> ProtocolError | None:
    """The error of one message through split and validate, or None."""
    try:
        (item,) = split(body)
        assert isinstance(item, Enveloped)
        validate(item)
    except ProtocolError as error:
        return error
    return None


def read(body: bytes) -> SettlementInstruction:
    item = one(body)
    validate(item)
    return decode(item)


def header(of: str = "sese.023.001.11", sender: str = SELLER, receiver: str = GATEWAY) -> Header:
    return Header(
        sender=sender,
        receiver=receiver,
        business_message_id="SELA-BMI-20261006-00012",
        definition=of,
        business_service="lockstep.dvp.01",
        created_at=instant("2026-10-06T09:00:00Z"),
    )


def message(written: str, of: str = "sese.023.001.11", sender: str = SELLER) -> bytes:
    return business_message(header(of, sender), written).encode()


def marked_repeated(answer: str) -> str:
    """An answer as it is when it is given again: the same but for its header, which says so."""
    first = "<PssblDplct>false</PssblDplct>"
    assert answer.count(first) == 1, answer
    return answer.replace(first, "<CpyDplct>DUPL</CpyDplct><PssblDplct>true</PssblDplct>")


def delivery() -> SettlementInstruction:
    """A delivery against payment without optional fields."""
    return SettlementInstruction(
        sender=SELLER,
        definition="sese.023.001.11",
        transaction_id="SELA2610060001",
        movement=Movement.DELI,
        payment=Payment.APMT,
        trade_date=date(2026, 10, 6),
        settlement_date=date(2026, 10, 8),
        isin=ISIN,
        quantity_type=QuantityType.FACE_AMOUNT,
        quantity="1000000",
        safekeeping_account="REGA-SELADE-0001",
        cash_account="EUR-CBKA-SELADE",
        transaction_type="TRAD",
        delivering=SettlementParties(depository=REGISTRY, party1=SELLER),
        receiving=SettlementParties(depository=REGISTRY, party1=BUYER),
        amount="998750",
        currency="EUR",
        credit_debit=CreditDebit.CRDT,
    )


def receipt() -> SettlementInstruction:
    """The other side of `delivery`."""
    return msgspec.structs.replace(
        delivery(),
        sender=BUYER,
        transaction_id="BUYR2610060077",
        movement=Movement.RECE,
        credit_debit=CreditDebit.DBIT,
        safekeeping_account="REGA-BUYRFR-0001",
        cash_account="EUR-CBKA-BUYRFR",
    )


def reference() -> Reference:
    return Reference(
        instruments={
            ISIN: Instrument(ledger="rega", quantity_type=QuantityType.FACE_AMOUNT, scale=0)
        },
        currencies={"EUR": Currency(ledger="cbka", scale=2)},
        depositories=frozenset({REGISTRY}),
        accounts={
            SELLER: {
                "rega": frozenset({"REGA-SELADE-0001"}),
                "cbka": frozenset({"EUR-CBKA-SELADE"}),
            },
            BUYER: {
                "rega": frozenset({"REGA-BUYRFR-0001"}),
                "cbka": frozenset({"EUR-CBKA-BUYRFR"}),
            },
        },
    )


def outbound() -> dict[str, Outbound]:
    """One of each message and status, by the name of its golden file."""
    i = read(deliver())
    assert i.lock is not None
    ids = References(
        account_owner_tx=i.transaction_id,
        market_tx="GW2610080000417A",
        counterparty_market_tx="GW2610080000417B",
        common_id=i.common_id,
    )
    own = References(account_owner_tx="SELA2610060009")
    details = TransactionDetails.of(i)
    event = LedgerEvent(
        ledger="registry-A",
        lock="0x5b1f00a1c2",
        transaction="3b1a6c0e55aa0f7d" * 4,
        height=184422,
        at=instant("2026-10-08T08:00:03Z"),
    )
    claimed = LedgerEvent(
        ledger="registry-A",
        lock="0x5b1f00a1c2",
        transaction="77c6a50e55aa0f7d" + "3b1a6c0e55aa0f7d" * 2 + "3b1a6c0e55aa0f90",
        height=184466,
        at=instant("2026-10-08T08:04:11Z"),
    )
    lock = msgspec.structs.replace(i.lock, status=LockStatus.LOCKED, event=event)
    lock_text = "Securities locked; awaiting cash lock by counterparty"

    def pending(*reasons: Reason) -> SettlementStatus:
        return SettlementStatus(status=Settling.PENDING, reasons=reasons)

    matched = MatchingStatus(status=Matching.MATCHED)
    return {
        "sese.024-accepted-unmatched": StatusAdvice(
            references=msgspec.structs.replace(ids, counterparty_market_tx=None),
            processing=ProcessingStatus(status=Processing.ACCEPTED),
            matching=MatchingStatus(
                status=Matching.UNMATCHED, reasons=(Reason.of(UnmatchedReason.CMIS),)
            ),
            details=details,
        ),
        "sese.024-matched-future": StatusAdvice(
            references=ids,
            matching=matched,
            settlement=pending(Reason.of(PendingReason.FUTU)),
            details=details,
        ),
        "sese.024-htlc-locked": StatusAdvice(
            references=ids,
            matching=matched,
            settlement=pending(Reason.of(PendingReason.CDLR, HtlcReason.SLCK, lock_text)),
            details=details,
            lock=lock,
        ),
        "sese.024-rejected": StatusAdvice(
            references=own,
            processing=ProcessingStatus(
                status=Processing.REJECTED,
                reasons=(Reason.of(RejectionReason.DSEC, text="ISIN check digit invalid"),),
            ),
        ),
        "sese.024-cancelled": StatusAdvice(
            references=ids,
            processing=ProcessingStatus(
                status=Processing.CANCELLED, reasons=(Reason.of(CancellationReason.CANI),)
            ),
            details=details,
        ),
        "sese.024-cancellation-requested": StatusAdvice(
            references=ids,
            processing=ProcessingStatus(
                status=Processing.CANCELLATION_REQUESTED,
                reasons=(Reason(htlc=HtlcReason.SLCK, text="by the counterparty"),),
            ),
        ),
        "sese.024-lock-terms-differ": StatusAdvice(
            references=ids,
            matching=MatchingStatus(
                status=Matching.UNMATCHED, reasons=(Reason.of(UnmatchedReason.HTLM),)
            ),
        ),
        "sese.024-failing": StatusAdvice(
            references=ids,
            matching=matched,
            settlement=SettlementStatus(
                status=Settling.FAILING,
                reasons=(
                    Reason.of(
                        FailingReason.CMON, text="Cash lock not placed before 2026-10-08T12:00:00Z"
                    ),
                ),
            ),
            details=details,
        ),
        "sese.025-confirmation": Confirmation(
            references=ids,
            instruction=msgspec.structs.replace(
                i, delivering=msgspec.structs.replace(i.delivering, processing_id=None)
            ),
            effective_at=instant("2026-10-08T08:04:11Z"),
            lock=msgspec.structs.replace(lock, status=LockStatus.CLAIMED, event=claimed),
        ),
        **reports(),
        **{f"fxtr.017-{name}": value for name, value in fx_statuses().items()},
        **cash_samples.outbound(i.lock),
        "sese.027-cancel-denied": _cancellation(
            Answering.DENIED,
            Reason.of(
                DeniedReason.DPRG,
                text="Both legs are locked on ledger; cancellation no longer possible before "
                "time-lock expiry",
            ),
        ),
        "sese.027-cancel-executed": _cancellation(
            Answering.CANCELLED, Reason.of(CancellationReason.CANI)
        ),
        "sese.027-cancel-pending-counterparty": _cancellation(
            Answering.PENDING, Reason.of(CancellationPendingReason.CONF)
        ),
        "sese.027-under-way": _cancellation(Answering.PENDING),
        "sese.027-unknown": CancellationAnswer(
            request="SELA-BMI-20261007-00042",
            references=References(account_owner_tx="SELA2610069999"),
            status=Answering.REJECTED,
            reasons=(Reason.of(RequestRefusal.REFE),),
        ),
        "sese.031-executed": _hold(Answering.COMPLETED, account="REGA-SELADE-0001"),
        "sese.031-denied": _hold(Answering.DENIED, Reason.of(DeniedReason.DPRG)),
        "sese.031-unserved": HoldAnswer(
            request="SELA-BMI-20261008-00007",
            status=Answering.REJECTED,
            reasons=(Reason.of(RequestRefusal.OTHR, text="Prty: not changed here"),),
        ),
        "sese.028-allegement": Allegement(
            reference="GWALG26100600031",
            counterparty_tx="GW2610080000417A",
            instruction=msgspec.structs.replace(
                i,
                delivering=msgspec.structs.replace(i.delivering, account=None, processing_id=None),
                lock=msgspec.structs.replace(i.lock, leg="CASH", status=LockStatus.PROPOSED),
            ),
        ),
        "sese.029-allegement-removal": AllegementRemoval(
            reference="GWALG26100600031",
            counterparty_tx="GW2610080000417A",
            movement=Movement.DELI,
            payment=Payment.APMT,
        ),
        "admi.002-reject": Rejection(
            reference="SELA-BMI-20261006-00011",
            code=RejectCode.XSDV,
            rejected_at=instant("2026-10-06T09:00:01Z"),
            location="/Document/SctiesSttlmTxInstr/SttlmAmt/Amt/@Ccy",
            description="Schema validation failed: attribute Ccy is required",
        ),
        "admi.007-receipt": Receipt(
            message_id="GW-A007-20261006-00011",
            received_at=instant("2026-10-06T09:00:01Z"),
            reference="SELA-BMI-20261006-00012",
            definition="sese.023.001.11",
            sender=SELLER,
        ),
    }


def fx_statuses() -> dict[str, FxStatus]:
    """Side A's trade of the examples through its life."""
    document = sample("fxtr.014-side-A.xml")
    item = one(message(document, "fxtr.014.001.05", "BKAAUS30XXX"))
    trade = msgspec.structs.replace(decode_trade(item), product=None)
    alone = FxStatus(
        trade=trade,
        market_tx="GWFX2610080001177A",
        status=TradeStatus.UNMATCHED,
        at=instant("2026-10-08T05:01:07Z"),
    )
    matched = msgspec.structs.replace(
        alone,
        status=TradeStatus.MATCHED,
        matching_tx="GWFXM26100801177",
        counterparty_market_tx="GWFX2610080001177B",
    )
    pending, settled, rescinded = (
        msgspec.structs.replace(matched, status=status)
        for status in (TradeStatus.PENDING, TradeStatus.SETTLED, TradeStatus.RESCINDED)
    )
    return {
        "unmatched": alone,
        "near-miss": msgspec.structs.replace(alone, sub_status="DMON"),
        "matched": matched,
        "pending-money": msgspec.structs.replace(pending, sub_status="MONY"),
        "locked": msgspec.structs.replace(
            pending,
            sub_status="ALKD",
            lock=None
            if trade.lock is None
            else msgspec.structs.replace(trade.lock, status=LockStatus.LOCKED),
        ),
        "settled": settled,
        "rescinded": rescinded,
        "invalid": msgspec.structs.replace(
            alone, status=TradeStatus.INVALID, sub_status="NCRR", text="ZZZ is no active currency"
        ),
        "cancellation-denied": msgspec.structs.replace(
            settled,
            sub_status="DSET",
            answers=Operation.CANCEL,
            reason="BOOKING ERROR",
            text="it is settled",
        ),
    }


def assert_valid(value: Outbound) -> None:
    """Each part of the message is valid against its schema."""
    root = parse(render(value, reply_header(value)).encode())
    for element in root:
        validate_tree(element, namespace_of(element), RejectCode.XSDV)


def _cancellation(status: Answering, *reasons: Reason) -> CancellationAnswer:
    return CancellationAnswer(
        request="SELA-BMI-20261007-00042",
        references=References(account_owner_tx="SELA2610060001", market_tx="GW2610080000417A"),
        movement=Movement.DELI,
        payment=Payment.APMT,
        status=status,
        reasons=reasons,
    )


def _hold(status: Answering, *reasons: Reason, account: str | None = None) -> HoldAnswer:
    return HoldAnswer(
        request="SELA-BMI-20261008-00007",
        transaction_id="SELA2610060001",
        hold=False,
        account=account,
        status=status,
        reasons=reasons,
    )


def reply_header(message: Outbound) -> Header:
    """The gateway's header over a reply to the seller's instruction."""
    return Header(
        sender=GATEWAY,
        receiver=SELLER,
        business_message_id="GW-BMI-20261006-90021",
        definition=definition(message),
        business_service="lockstep.dvp.01",
        created_at=instant("2026-10-06T09:00:01Z"),
        related=Related(
            sender=SELLER,
            receiver=GATEWAY,
            business_message_id="SELA-BMI-20261006-00012",
            definition="sese.023.001.11",
            created_at=instant("2026-10-06T09:00:00Z"),
        ),
    )
