"""Position messages and statements as the examples have them, and the forms that these have not."""

from datetime import date

import msgspec

from protocols.iso20022.instruction import CreditDebit, Movement, Payment, QuantityType
from protocols.iso20022.lexical import instant
from protocols.iso20022.lock_block import (
    HashAlgorithm,
    HashLock,
    LedgerEvent,
    LegExpiry,
    LockBlock,
    LockStatus,
    SecretHolder,
)
from protocols.iso20022.positions import (
    Position,
    PositionConfirmation,
    PositionInstruction,
    PositionStatus,
    Posting,
)
from protocols.iso20022.reports import Report
from protocols.iso20022.statements import (
    Balance,
    BankTransaction,
    CashPage,
    Entry,
    Frequency,
    Holding,
    HoldingsPage,
    InstrumentMovements,
    MovementsPage,
    PageHead,
    Transaction,
)

SELLER, REGISTRY, ISIN = "SELADEF0XXX", "REGADEF0XXX", "XS9990000010"
POSITION = Position(
    owner=SELLER,
    account="REGA-SELADE-0001",
    isin=ISIN,
    quantity_type=QuantityType.FACE_AMOUNT,
    quantity="1000000",
)
BLOCK = LockBlock(
    swap_id="0f6a0b1c-2b44-4a3e-8a54-5d9e3c1f7a21",
    leg="SECU",
    execution_lock=HashLock(
        algorithm=HashAlgorithm.SHA256,
        digest="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ),
    expiries=(
        LegExpiry(leg="SECU", expires_at=instant("2026-10-08T16:00:00Z")),
        LegExpiry(leg="CASH", expires_at=instant("2026-10-08T14:00:00Z")),
    ),
    secret_holder=SecretHolder(bic=SELLER, role="DLVR"),
    status=LockStatus.PROPOSED,
)
HEAD = PageHead(
    statement="REGA-HOLD-20261008-01",
    number=0,
    frequency=Frequency.INTRADAY,
    from_at=instant("2026-10-07T18:00:00Z"),
    to_at=instant("2026-10-08T08:02:00Z"),
    business_date=date(2026, 10, 8),
    owner=SELLER,
    lei="9999DVPGW000SELLER51",
    servicer=REGISTRY,
    account="REGA-SELADE-0001",
    page=1,
    last=True,
    active=True,
)
DAY = msgspec.structs.replace(
    HEAD, frequency=Frequency.DAILY, lei=None, servicer=None, to_at=instant("2026-10-08T18:00:00Z")
)
TRANSACTION = Transaction(
    account_owner_tx="SELA2610060001",
    market_tx="GW2610080000417A",
    counterparty_market_tx="GW2610080000417B",
    common_id="TRD-2026-000417",
    movement=Movement.DELI,
    payment=Payment.APMT,
    quantity="1000000",
    amount="998750",
    currency="EUR",
    credit_debit=CreditDebit.CRDT,
    effective_at=instant("2026-10-08T08:04:11Z"),
    settlement_date=date(2026, 10, 8),
)
CASH = CashPage(
    head=msgspec.structs.replace(
        DAY, statement="CBKA-S-SELADE-281", number=281, account="EUR-CBKA-SELADE"
    ),
    currency="EUR",
    opening="2000000",
    closing="2998750",
    closing_available="2998750",
    opening_date=date(2026, 10, 7),
    entries=(
        Entry(
            reference="1",
            amount="998750",
            credit_debit=CreditDebit.CRDT,
            booked_at=instant("2026-10-08T08:04:05Z"),
            value_date=date(2026, 10, 8),
            servicer_reference="CBKA-TX-900144",
            kind=BankTransaction.SECURITIES,
            instruction_id="BUYR2610060077",
            end_to_end_id="TRD-2026-000417",
            uetr="8f2b6c1e-6f0a-4c1d-9d57-1b7f4b8a2c10",
            market_tx="GW2610080000417A",
            isin=ISIN,
        ),
    ),
)


def reports() -> dict[str, Report]:
    """One of each, by the name of its golden file."""
    return {**_positions(), **_holdings(), **_movements(), **_cash()}


def _positions() -> dict[str, Report]:
    replace = msgspec.structs.replace
    event = LedgerEvent(
        ledger="registry-A",
        lock="0x5b1f00a1c2",
        transaction="3b1a6c0e55aa0f7d" * 4,
        height=184422,
        at=instant("2026-10-08T08:00:03Z"),
    )
    lock = PositionInstruction(
        id="GWLK2610080417S",
        market_tx="GW2610080000417A",
        position=POSITION,
        posting=Posting.LOCK,
        settlement_date=date(2026, 10, 8),
        lock=BLOCK,
    )
    locked = PositionConfirmation(
        id="GWLK2610080417S",
        servicer_tx="REGA-IP-55120",
        market_tx="GW2610080000417A",
        position=POSITION,
        posting=Posting.LOCK,
        effective_at=instant("2026-10-08T08:00:03Z"),
        lock=replace(BLOCK, status=LockStatus.LOCKED, event=event),
    )
    bare = replace(event, transaction=None, height=None)
    # A settlement of ours is named by a UUID of version 7.
    moved = replace(
        BLOCK,
        swap_id="0192f3c4-5d6e-7f80-9a1b-2c3d4e5f6071",
        status=LockStatus.CLAIMED,
        event=bare,
    )
    return {
        "semt.013-lock-instruction": lock,
        "semt.013-move": replace(
            lock, posting=Posting.MOVE, payee_account="REGA-BUYRFR-0001", lock=None, market_tx=None
        ),
        "semt.014-lock-lack": PositionStatus(
            id="GWLK2610080417S", servicer_tx="REGA-IP-55120", reason="LACK"
        ),
        "semt.015-lock-confirmation": locked,
        "semt.015-release": replace(
            locked,
            posting=Posting.RELEASE,
            servicer_tx=None,
            position=replace(POSITION, account="wallet-" * 8),
            lock=replace(BLOCK, status=LockStatus.REFUNDED, event=bare),
        ),
        "semt.015-move": replace(locked, posting=Posting.MOVE, lock=moved),
    }


def _holdings() -> dict[str, Report]:
    holding = Holding(
        isin=ISIN,
        quantity_type=QuantityType.FACE_AMOUNT,
        aggregate="5000000",
        available="4000000",
        not_available="1000000",
    )
    free = Holding(
        isin="DE0009990B12", quantity_type=QuantityType.UNIT, aggregate="7", available="7"
    )
    page = msgspec.structs.replace(HEAD, number=100_281, page=2, last=False)
    return {
        "semt.002-holdings": HoldingsPage(head=HEAD, holdings=(holding,)),
        "semt.002-page": HoldingsPage(head=page, holdings=(free, holding)),
        "semt.002-empty": HoldingsPage(head=msgspec.structs.replace(HEAD, active=False)),
    }


def _movements() -> dict[str, Report]:
    head = msgspec.structs.replace(DAY, statement="REGA-POST-20261008")
    instrument = InstrumentMovements(
        isin=ISIN, quantity_type=QuantityType.FACE_AMOUNT, transactions=(TRANSACTION,)
    )
    issue = Transaction(
        account_owner_tx="opening",
        servicer_tx="1.0",
        transaction_type="ISSU",
        movement=Movement.RECE,
        payment=Payment.FREE,
        quantity="5000000",
        effective_at=instant("2026-10-08T07:00:00Z"),
    )
    balanced = InstrumentMovements(
        isin=ISIN,
        quantity_type=QuantityType.FACE_AMOUNT,
        opening=Balance(quantity="0", final=True),
        closing=Balance(quantity="4000000", final=False),
        transactions=(issue, TRANSACTION),
    )
    return {
        "semt.017-postings": MovementsPage(head=head, instruments=(instrument,)),
        "semt.017-balances": MovementsPage(
            head=msgspec.structs.replace(head, last=False, number=3), instruments=(balanced,)
        ),
        "semt.017-empty": MovementsPage(head=msgspec.structs.replace(head, active=False)),
    }


def _cash() -> dict[str, Report]:
    replace = msgspec.structs.replace
    entries = tuple(
        replace(CASH.entries[0], reference=str(n), kind=kind, uetr=None)
        for n, kind in enumerate(BankTransaction, 1)
    )
    issued = replace(
        CASH.entries[0],
        kind=BankTransaction.ISSUE,
        instruction_id=None,
        end_to_end_id=None,
        uetr=None,
        market_tx=None,
        isin=None,
    )
    head = replace(
        CASH.head, frequency=Frequency.INTRADAY, last=False, page=1, account="EUR-" + "0" * 40
    )
    return {
        "camt.053-day": CASH,
        "camt.053-page": replace(
            CASH, head=head, closing_available=None, entries=(*entries, issued)
        ),
        "camt.053-empty": replace(
            CASH,
            head=replace(CASH.head, active=False),
            closing="2000000",
            closing_available="2000000",
            entries=(),
        ),
    }
