"""Examples of a ledger's published description, made by the code that makes the real ones."""

from typing import Final

from htlc.contract import Answer, Htlc, Status, Terms
from htlc.hashlock import HashFunction, Hashlock
from htlc.units import (
    SECOND,
    AccountId,
    AssetId,
    HtlcId,
    Instant,
    LegId,
    Quantity,
    SettlementId,
)
from ledgers import views
from ledgers.port import Fact, Lock, LockKind
from ledgers.wire import answer_json, operation_json

_AT: Final = Instant(1_791_277_200_000_000_000)  # 2026-10-06T09:00:00Z
_ID: Final = HtlcId("0192f3c4-5d6e-7f80-9a1b-2c3d4e5f6071")
_FUNCTION: Final = HashFunction()


def _lock_of(key: bytes) -> Hashlock:
    return Hashlock(
        algorithm=_FUNCTION.algorithm, encoding=_FUNCTION.encoding, digest=_FUNCTION.digest(key)
    )


_TERMS: Final = Terms(
    id=_ID,
    settlement=SettlementId("0192f3c4-5d6e-7f80-9a1b-2c3d4e5f6099"),
    leg=LegId("CASH"),
    payer=AccountId("alice-1"),
    payee=AccountId("bob-1"),
    asset=AssetId("EUR"),
    quantity=Quantity(99_875_000),
    execution_lock=_lock_of(bytes([1]) * 32),
    cancellation_lock=_lock_of(bytes([2]) * 32),
    lock_by=Instant(_AT + 60 * SECOND),
)
_HTLC: Final = Htlc(terms=_TERMS, status=Status.LOCKED, locked_at=_AT)

OPERATIONS: Final = (operation_json(Lock(terms=_TERMS)),)
ANSWERS: Final = (answer_json(Answer(at=_AT, htlc=_HTLC)),)
QUERY: Final = views.QueryJson(ids=[_ID])

FACTS: Final = views.FactsJson(
    facts=[
        views.fact_json(
            Fact(
                cursor="7.0",
                at=_AT,
                kind="lock",
                id=_ID,
                debit=_TERMS.payer,
                credit=_TERMS.payer,
                asset=_TERMS.asset,
                quantity=_TERMS.quantity,
                htlc=_HTLC,
            )
        )
    ],
    next="7.0",
)

_MANDATE: Final = views.MandateJson(
    account="alice-1", operator="gateway", limit="100000000", until=str(_AT + 86_400 * SECOND)
)
MANDATES: Final = (_MANDATE, views.RevokeJson(account="alice-2", operator="gateway"))

ACCOUNT: Final = views.AccountViewJson(
    account="alice-1",
    owner="ALICDEFFXXX",
    blocked=False,
    holdings=[views.HoldingJson(asset="EUR", available="125000", locked="99875000")],
    mandates=[_MANDATE],
)
ACCOUNTS: Final = (views.AccountJson(account="alice-1", owner="ALICDEFFXXX"),)
INSTRUMENTS: Final = (
    views.SecurityJson(
        isin="XS9990000010",
        name="Republic of Example 2031",
        scale=2,
        quantity_type="FaceAmt",
        issuer="ISSUDEFFXXX",
        issuer_account="issuer-1",
    ),
    views.CurrencyJson(
        code="EUR", scale=2, central_bank="ECBFDEFFXXX", reserves_account="reserves"
    ),
)
DONE: Final = (views.OutcomeJson(done=True),)

HOLDINGS: Final = views.HoldingsJson(
    as_of="7.0",
    holdings=[
        views.BalanceJson(account="alice-1", asset="EUR", available="125000", locked="99875000")
    ],
)
TOTALS: Final = (
    views.PositionJson(
        asset="EUR",
        issued="100000000",
        available="125000",
        locked="99875000",
        difference="0",
        as_of="7.0",
    ),
)
DESCRIPTION: Final = views.DescriptionJson(
    ledger="cash-eur",
    lock_kinds=(LockKind.TWO_KEY, LockKind.HTLC),
    hash_functions=(_FUNCTION,),
    probe=(_FUNCTION.digest(bytes(range(32))).hex(),),
    at=str(_AT),
    finality="0",
    skew=str(SECOND),
    assets=(),
    public_key="d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
)
