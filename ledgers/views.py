"""The JSON notation of what readers and administrators of a ledger see (adds to `wire`)."""

from typing import Annotated, Literal

import msgspec

from htlc.hashlock import HashFunction
from htlc.units import AccountId, AssetId, Duration, Instant, LedgerId, Quantity
from ledgers.administration import (
    DefineInstrument,
    GrantMandate,
    OpenAccount,
    RevokeMandate,
)
from ledgers.block import Block, Proof, cursor
from ledgers.books import Holding, Holdings, Position
from ledgers.currency import currency
from ledgers.hosted import AccountView
from ledgers.parties import Mandate
from ledgers.port import AssetDescription, Description, Fact, LockKind, Refusal
from ledgers.scalars import Cursor, Integer, Name, Uuid
from ledgers.securities import security
from ledgers.wire import HtlcJson, WireStruct, htlc_json, htlc_of, integer


class QueryJson(WireStruct, frozen=True, kw_only=True):
    """Body of `POST /v1/contracts/query`."""

    ids: list[Uuid]


class FactJson(WireStruct, frozen=True, kw_only=True):
    """One effect, as it stands in a block."""

    cursor: Cursor
    at: Integer
    kind: str
    id: str
    debit: Name
    credit: Name
    asset: Name
    quantity: Integer
    htlc: HtlcJson | None = None


class FactsJson(WireStruct, frozen=True, kw_only=True):
    """A page of facts. `next` is the cursor to ask with; as asked when there was nothing."""

    facts: list[FactJson]
    next: Cursor


class DescriptionJson(
    WireStruct, frozen=True, kw_only=True, omit_defaults=False, forbid_unknown_fields=False
):
    """What a ledger says of itself. One of a later release may say more than we know of: it would
    be cut off, during its own upgrade, from every gateway that is not upgraded yet."""

    ledger: str
    lock_kinds: tuple[LockKind, ...]
    hash_functions: tuple[HashFunction, ...]
    probe: tuple[str, ...]
    at: Integer
    finality: Integer
    skew: Integer
    assets: tuple[AssetDescription, ...]
    public_key: str
    trials: tuple[tuple[str, ...], ...] = ()


class MandateJson(WireStruct, frozen=True, kw_only=True, tag="grant", tag_field="op"):
    """What an owner lets an operator lock of an account: `limit` a lock, `until` an instant."""

    account: Name
    operator: Name
    limit: Integer
    until: Integer


class RevokeJson(WireStruct, frozen=True, kw_only=True, tag="revoke", tag_field="op"):
    """Takes a mandate back."""

    account: Name
    operator: Name


class AccountJson(WireStruct, frozen=True, kw_only=True):
    """An account to be opened."""

    account: Name
    owner: Name


class SecurityJson(WireStruct, frozen=True, kw_only=True, tag="security", tag_field="kind"):
    """A security to be defined."""

    isin: str
    name: str
    scale: Annotated[int, msgspec.Meta(description="Decimals of its public unit")]
    quantity_type: Annotated[str, msgspec.Meta(description="Unit or FaceAmt")]
    issuer: Name
    issuer_account: Name


class CurrencyJson(WireStruct, frozen=True, kw_only=True, tag="currency", tag_field="kind"):
    """A currency to be defined (ISO 4217)."""

    code: str
    scale: int
    central_bank: Name
    reserves_account: Name


class HoldingJson(WireStruct, frozen=True, kw_only=True):
    """What an account has of an asset."""

    asset: str
    available: Annotated[str, msgspec.Meta(description="Below zero of a counter-account only")]
    locked: str


class AccountViewJson(WireStruct, frozen=True, kw_only=True, omit_defaults=False):
    """An account as those concerned see it."""

    account: str
    owner: str
    blocked: bool
    holdings: list[HoldingJson]
    mandates: list[MandateJson]


HeaderFields = Annotated[
    dict[str, str],
    msgspec.Meta(
        description="What the hash of the block is over",
        extra_json_schema={
            "required": ["ledger", "height", "previous", "root", "count", "at"],
        },
    ),
]


class BlockJson(WireStruct, frozen=True, kw_only=True):
    """A block with its leaves: everything that moved in one batch."""

    header: HeaderFields
    hash: str
    signature: str
    leaves: list[msgspec.Raw]


class ProofJson(WireStruct, frozen=True, kw_only=True):
    """That a posting stands in a signed block (RFC 9162, 2.1.3.2)."""

    posting: str
    header: HeaderFields
    hash: str
    signature: str
    index: str
    leaf: msgspec.Raw
    path: list[str]


class BalanceJson(WireStruct, frozen=True, kw_only=True):
    """What one account has of one asset."""

    account: Name
    asset: Name
    available: Annotated[str, msgspec.Meta(pattern="^-?[0-9]{1,19}$")]  # a counter-account: < 0
    locked: Integer


class HoldingsJson(WireStruct, frozen=True, kw_only=True):
    """A page of holdings, by account and asset; `as_of` the last posting that is in it."""

    as_of: Cursor
    holdings: list[BalanceJson]
    next: Annotated[str | None, msgspec.Meta(description="`after` of the next page")] = None


class PlaceJson(WireStruct, frozen=True, kw_only=True, omit_defaults=False):
    """A place in the order of the postings; empty: before every one."""

    cursor: Cursor


class PositionJson(WireStruct, frozen=True, kw_only=True):
    """The totals of one asset."""

    asset: str
    issued: str
    available: str
    locked: str
    difference: Annotated[str, msgspec.Meta(description="Held less issued; 0 as it must be")]
    as_of: Cursor = ""


class OutcomeJson(WireStruct, frozen=True, kw_only=True):
    """The outcome of one act of administration."""

    done: Literal[True] | None = None
    refusal: Refusal | None = None


def fact_json(fact: Fact) -> FactJson:
    return FactJson(
        cursor=fact.cursor,
        at=str(fact.at),
        kind=fact.kind,
        id=fact.id,
        debit=fact.debit,
        credit=fact.credit,
        asset=fact.asset,
        quantity=str(fact.quantity),
        htlc=None if fact.htlc is None else htlc_json(fact.htlc),
    )


def fact_of(wire: FactJson) -> Fact:
    return Fact(
        cursor=wire.cursor,
        at=Instant(integer(wire.at, "at")),
        kind=wire.kind,
        id=wire.id,
        debit=AccountId(wire.debit),
        credit=AccountId(wire.credit),
        asset=AssetId(wire.asset),
        quantity=Quantity(integer(wire.quantity, "quantity")),
        htlc=None if wire.htlc is None else htlc_of(wire.htlc),
    )


def description_json(description: Description) -> DescriptionJson:
    return DescriptionJson(
        ledger=description.ledger,
        lock_kinds=description.lock_kinds,
        hash_functions=description.hash_functions,
        probe=tuple(digest.hex() for digest in description.probe),
        at=str(description.at),
        finality=str(description.finality),
        skew=str(description.skew),
        assets=description.assets,
        public_key=description.public_key.hex(),
        trials=description.trials,
    )


def description_of(wire: DescriptionJson) -> Description:
    return Description(
        ledger=LedgerId(wire.ledger),
        lock_kinds=wire.lock_kinds,
        hash_functions=wire.hash_functions,
        probe=tuple(bytes.fromhex(digest) for digest in wire.probe),
        at=Instant(integer(wire.at, "at")),
        finality=Duration(integer(wire.finality, "finality")),
        skew=Duration(integer(wire.skew, "skew")),
        assets=wire.assets,
        public_key=bytes.fromhex(wire.public_key),
        trials=wire.trials,
    )


def account_act(wire: AccountJson) -> OpenAccount:
    return OpenAccount(account=AccountId(wire.account), owner=wire.owner)


def mandate_act(wire: MandateJson | RevokeJson) -> GrantMandate | RevokeMandate:
    if isinstance(wire, RevokeJson):
        return RevokeMandate(account=AccountId(wire.account), operator=wire.operator)
    return GrantMandate(
        mandate=Mandate(
            account=AccountId(wire.account),
            operator=wire.operator,
            limit=Quantity(integer(wire.limit, "limit")),
            until=Instant(integer(wire.until, "until")),
        )
    )


def instrument_act(wire: SecurityJson | CurrencyJson) -> DefineInstrument:
    """Raises ReferenceDataError for reference data that breaks a rule."""
    if isinstance(wire, CurrencyJson):
        instrument = currency(
            code=wire.code,
            scale=wire.scale,
            central_bank=wire.central_bank,
            reserves_account=AccountId(wire.reserves_account),
        )
    else:
        instrument = security(
            isin=wire.isin,
            name=wire.name,
            scale=wire.scale,
            quantity_type=wire.quantity_type,
            issuer=wire.issuer,
            issuer_account=AccountId(wire.issuer_account),
        )
    return DefineInstrument(instrument=instrument)


def account_view_json(view: AccountView) -> AccountViewJson:
    return AccountViewJson(
        account=view.account.id,
        owner=view.account.owner,
        blocked=view.account.blocked,
        holdings=[
            HoldingJson(asset=asset, available=str(held.available), locked=str(held.locked))
            for asset, held in sorted(view.holdings.items())
        ],
        mandates=[
            MandateJson(
                account=given.account,
                operator=given.operator,
                limit=str(given.limit),
                until=str(given.until),
            )
            for given in view.mandates
        ],
    )


def block_json(block: Block) -> BlockJson:
    return BlockJson(
        header=block.header.fields(),
        hash=block.hash.hex(),
        signature=block.signature.hex(),
        leaves=[msgspec.Raw(data) for data in block.leaves],
    )


def proof_json(proof: Proof) -> ProofJson:
    return ProofJson(
        posting=cursor(proof.block.header.height, proof.position),
        header=proof.block.header.fields(),
        hash=proof.block.hash.hex(),
        signature=proof.block.signature.hex(),
        index=str(proof.position),
        leaf=msgspec.Raw(proof.leaf),
        path=[node.hex() for node in proof.path],
    )


def position_json(position: Position) -> PositionJson:
    return PositionJson(
        asset=position.asset,
        issued=str(position.issued),
        available=str(position.available),
        locked=str(position.locked),
        difference=str(position.difference),
        as_of=position.as_of,
    )


def position_of(wire: PositionJson) -> Position:
    return Position(
        asset=AssetId(wire.asset),
        issued=int(wire.issued),
        available=int(wire.available),
        locked=int(wire.locked),
        as_of=wire.as_of,
    )


def holdings_json(page: Holdings) -> HoldingsJson:
    return HoldingsJson(
        as_of=page.as_of,
        holdings=[
            BalanceJson(
                account=held.account,
                asset=held.asset,
                available=str(held.available),
                locked=str(held.locked),
            )
            for held in page.holdings
        ],
        next=page.next,
    )


def holdings_of(wire: HoldingsJson) -> Holdings:
    return Holdings(
        as_of=wire.as_of,
        holdings=tuple(
            Holding(
                account=AccountId(held.account),
                asset=AssetId(held.asset),
                available=int(held.available),
                locked=integer(held.locked, "locked"),
            )
            for held in wire.holdings
        ),
        next=wire.next,
    )


def outcome_json(refusal: Refusal | None) -> OutcomeJson:
    return OutcomeJson(refusal=refusal) if refusal else OutcomeJson(done=True)
