"""The lock block: hash locks in supplementary data (`supl.001.001.01`, our own extension).

ISO 20022 supplementary data: `PlcAndNm` says what is extended, `Envlp` holds one element of a
namespace of its own. A preimage never stands in a message.
"""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final

from lxml import etree

from htlc.units import Value
from protocols.iso20022.codes import RejectionReason
from protocols.iso20022.lexical import bic11, escaped, instant, instant_text
from protocols.iso20022.schemas import SUPL

_NS: Final = f"{{{SUPL}}}"
DOCUMENT: Final = f"{_NS}Document"
"""The root of the block within its envelope."""

ONE_AT_MOST: Final = "one lock block at most stands in an instruction"


class HashAlgorithm(StrEnum):
    SHA256 = "SHA256"
    SM3 = "SM3"
    KECCAK256 = "KECCAK256"


class PreimageEncoding(StrEnum):
    """What is hashed: the 32 bytes themselves, or their lower-case hex text."""

    RAW = "RAWB"
    HEX_TEXT = "HEXT"


class LockProtocol(StrEnum):
    TWO_KEY = "TWOK"
    ANCHORED = "ANCH"
    HTLC = "HTLC"


class PrincipalRisk(StrEnum):
    NONE = "NONE"
    RESIDUAL = "RESI"


class LockStatus(StrEnum):
    PROPOSED = "PROP"
    LOCKED = "LCKD"
    CLAIMED = "CLMD"
    REFUNDED = "RFND"
    EXPIRED = "EXPD"


class HashLock(Value, frozen=True, kw_only=True, omit_defaults=True):
    algorithm: HashAlgorithm
    encoding: PreimageEncoding = PreimageEncoding.RAW
    digest: str  # 32 bytes as 64 lower-case hex digits


class LegExpiry(Value, frozen=True, kw_only=True):
    leg: str
    expires_at: int  # UTC ns, the leg's own ledger's time


class SecretHolder(Value, frozen=True, kw_only=True):
    """The party that made the secret; where none is named, the gateway's vault did."""

    bic: str
    role: str  # DLVR, RCVR, SIDA, SIDB, OTHR


class LedgerEvent(Value, frozen=True, kw_only=True, omit_defaults=True):
    """What a ledger recorded: evidence for reconciliation."""

    ledger: str
    lock: str
    transaction: str | None = None  # a ledger may name its events by lock alone
    height: int | None = None
    at: int  # UTC ns


class LockBlock(Value, frozen=True, kw_only=True, omit_defaults=True):
    """The terms of a swap's locks as a message tells them (`HshdTmLckSD1`)."""

    swap_id: str  # UUID
    leg: str
    execution_lock: HashLock
    cancellation_lock: HashLock | None = None
    lock_by: int | None = None  # UTC ns, exclusive
    expiries: tuple[LegExpiry, ...] = ()
    secret_holder: SecretHolder | None = None
    protocol: LockProtocol | None = None
    principal_risk: PrincipalRisk | None = None
    status: LockStatus | None = None
    event: LedgerEvent | None = None


Terms = tuple[HashLock, HashLock | None, tuple[tuple[str, int], ...], tuple[str, str] | None]


def terms(block: LockBlock) -> Terms:
    """What two blocks must agree on: hashes, every expiry, secret holder."""
    holder = block.secret_holder
    return (
        block.execution_lock,
        block.cancellation_lock,
        tuple(sorted((expiry.leg, expiry.expires_at) for expiry in block.expiries)),
        (bic11(holder.bic), holder.role) if holder else None,
    )


def find(
    supplements: Iterable[etree._Element], fault: Callable[[RejectionReason, str, str], None]
) -> LockBlock | None:
    """The block among the `SplmtryData` of an instruction, if there is one; what is wrong with it
    is told to `fault` with code, field and rule."""
    blocks = [supplement[-1][0] for supplement in supplements if supplement[-1][0].tag == DOCUMENT]
    if not blocks:
        return None
    if len(blocks) > 1:
        fault(RejectionReason.VALR, "SplmtryData", ONE_AT_MOST)
    try:
        return read(blocks[0])
    except ValueError as error:  # an instant that XML Schema allows and no clock shows
        fault(RejectionReason.VALR, "SplmtryData/Envlp/Document", str(error))
        return None


def read(element: etree._Element) -> LockBlock:
    """The block in a valid `Document` of supl.001.001.01; ValueError for an impossible instant."""
    block = element[0]
    leaf = {child.tag[len(_NS) :]: child for child in block}
    lock_by, holder, event = leaf.get("LckBy"), leaf.get("ScrtHldr"), leaf.get("LdgrEvt")
    cancellation = leaf.get("CxlHshLck")
    return LockBlock(
        swap_id=_text(leaf["SwpId"]),
        leg=_text(leaf["Leg"]),
        execution_lock=_hash_lock(leaf["HshLck"]),
        cancellation_lock=None if cancellation is None else _hash_lock(cancellation),
        lock_by=None if lock_by is None else instant(_text(lock_by)),
        expiries=tuple(
            LegExpiry(leg=_text(lock[0]), expires_at=instant(_text(lock[1])))
            for lock in block.iterchildren(_NS + "TmLck")
        ),
        secret_holder=None
        if holder is None
        else SecretHolder(bic=_text(holder[0]), role=_text(holder[1])),
        protocol=LockProtocol(_text(leaf["Prtcl"])) if "Prtcl" in leaf else None,
        principal_risk=PrincipalRisk(_text(leaf["PrncplRsk"])) if "PrncplRsk" in leaf else None,
        status=LockStatus(_text(leaf["Sts"])) if "Sts" in leaf else None,
        event=None if event is None else _event(event),
    )


def _text(element: etree._Element) -> str:
    return element.text or ""


def _hash_lock(element: etree._Element) -> HashLock:
    encoding = element.findtext(_NS + "Encdg")
    return HashLock(
        algorithm=HashAlgorithm(_text(element[0])),
        encoding=PreimageEncoding(encoding) if encoding else PreimageEncoding.RAW,
        digest=_text(element[-1]),
    )


def _event(element: etree._Element) -> LedgerEvent:
    height = element.findtext(_NS + "BlckHght")
    transaction = element.findtext(_NS + "TxHsh")
    return LedgerEvent(
        ledger=_text(element[0]),
        lock=_text(element[1]),
        transaction=transaction,
        height=None if height is None else int(height),
        at=instant(_text(element[-1])),
    )


def write(block: LockBlock, place: str) -> str:
    """`SplmtryData` that extends the element at `place` (an XPath such as /Document/X)."""
    return (
        f"<SplmtryData><PlcAndNm>{place}</PlcAndNm><Envlp>"
        f'<Document xmlns="{SUPL}"><HshdTmLckSD1>'
        f"<SwpId>{escaped(block.swap_id)}</SwpId><Leg>{escaped(block.leg)}</Leg>"
        + _write_hash("HshLck", block.execution_lock)
        + (_write_hash("CxlHshLck", block.cancellation_lock) if block.cancellation_lock else "")
        + _optional("LckBy", None if block.lock_by is None else instant_text(block.lock_by))
        + "".join(_write_expiry(expiry) for expiry in block.expiries)
        + (_write_holder(block.secret_holder) if block.secret_holder else "")
        + _optional("Prtcl", block.protocol)
        + _optional("PrncplRsk", block.principal_risk)
        + _optional("Sts", block.status)
        + (_write_event(block.event) if block.event else "")
        + "</HshdTmLckSD1></Document></Envlp></SplmtryData>"
    )


def _optional(tag: str, text: str | None) -> str:
    return "" if text is None else f"<{tag}>{text}</{tag}>"


def _write_hash(tag: str, lock: HashLock) -> str:
    encoding = "" if lock.encoding is PreimageEncoding.RAW else f"<Encdg>{lock.encoding}</Encdg>"
    return (
        f"<{tag}><Algo>{lock.algorithm}</Algo>{encoding}<Val>{escaped(lock.digest)}</Val></{tag}>"
    )


def _write_expiry(expiry: LegExpiry) -> str:
    at = instant_text(expiry.expires_at)
    return f"<TmLck><Leg>{escaped(expiry.leg)}</Leg><ExpryDtTm>{at}</ExpryDtTm></TmLck>"


def _write_holder(holder: SecretHolder) -> str:
    bic, role = escaped(holder.bic), escaped(holder.role)
    return f"<ScrtHldr><AnyBIC>{bic}</AnyBIC><Role>{role}</Role></ScrtHldr>"


def _write_event(event: LedgerEvent) -> str:
    height = "" if event.height is None else f"<BlckHght>{event.height}</BlckHght>"
    hashed = escaped(event.transaction or "", 140)
    transaction = f"<TxHsh>{hashed}</TxHsh>" if event.transaction else ""
    return (
        f"<LdgrEvt><LdgrId>{escaped(event.ledger, 35)}</LdgrId>"
        f"<LckId>{escaped(event.lock, 140)}</LckId>{transaction}"
        f"{height}<EvtDtTm>{instant_text(event.at)}</EvtDtTm></LdgrEvt>"
    )
