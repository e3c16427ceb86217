"""A status with its reasons, as every status message writes it, as XML text."""

from functools import cache
from typing import Final

from protocols.iso20022.advice import Reason
from protocols.iso20022.blocks import tag
from protocols.iso20022.lexical import escaped

# Scheme of our proprietary reasons; the issuer is the gateway itself.
_SCHEME: Final = "HTLC"
_NO_REASON: Final = "<NoSpcfdRsn>NORE</NoSpcfdRsn>"


def plain(name: str, reasons: tuple[Reason, ...], issuer: str) -> str:
    """A status whose type is ProprietaryReason4: one optional proprietary reason and text."""
    if not reasons:
        return _bare(name)
    reason = reasons[0]
    proprietary = f"<Rsn>{_identity(reason, issuer)}</Rsn>" if reason.htlc else ""
    return f"<{name}>{proprietary}{tag('AddtlRsnInf', reason.text, 210)}</{name}>"


@cache  # to format a member of an enumeration takes longer than to find it
def _bare(name: str) -> str:
    return f"<{name}/>"


def status(name: str, reasons: tuple[Reason, ...], issuer: str) -> str:
    """A status whose type is a choice of no reason and repeated reasons."""
    if not reasons:
        return f"<{name}>{_NO_REASON}</{name}>"
    return f"<{name}>{''.join(_reason(reason, issuer) for reason in reasons)}</{name}>"


def _reason(reason: Reason, issuer: str) -> str:
    """Rsn repeats: the standard code first, then the proprietary one, which carries the text."""
    text = tag("AddtlRsnInf", reason.text, 210)
    standard = f"<Rsn><Cd><Cd>{reason.code}</Cd></Cd>" if reason.code else ""
    if reason.htlc is None:
        return f"{standard}{text}</Rsn>"
    proprietary = f"<Rsn><Cd><Prtry>{_identity(reason, issuer)}</Prtry></Cd>{text}</Rsn>"
    return (standard + "</Rsn>" if standard else "") + proprietary


def _identity(reason: Reason, issuer: str) -> str:
    assert reason.htlc is not None
    return f"<Id>{reason.htlc.value}</Id><Issr>{escaped(issuer)}</Issr><SchmeNm>{_SCHEME}</SchmeNm>"
