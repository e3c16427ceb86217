"""The world that the bench makes for itself: enough accounts and balances, nothing else.

Four members in two pairs, each with an account per security and a cash account to go with it.
Trades are spread over 64 securities, because instructions in one security between the same members
on the same day are looked through when they are matched, and no market has a single security.
"""

from pathlib import Path
from typing import Any, Final

import tomli_w
from stdnum import isin
from stdnum.iso7064 import mod_97_10

PAIRS: Final = 2
SECURITIES: Final = 64

FACE_AMOUNT: Final = "10000000000.00"
CASH: Final = "10000000000.00"
"""Of each account: a trade moves at most ten, and every second one moves it back."""

GATEWAY: Final = "BNCHNL20XXX"
REGISTRY: Final = "BNRGDEF0XXX"
CENTRAL_BANK: Final = "BNCBDEF0XXX"
ISSUER: Final = "BNISLUL0XXX"


def write(path: Path) -> Path:
    """The world as a file that `gateway.machine.world` loads."""
    path.write_text(tomli_w.dumps(_world()))
    return path


def _world() -> dict[str, Any]:
    return {
        "title": "Bench: one securities registry, one currency",
        "gateway": {"bic": GATEWAY},
        "ledgers": {"registry": _registry(), "euro": _euro()},
        "members": [_member(number) for number in range(2 * PAIRS)],
    }


def _registry() -> dict[str, Any]:
    return {
        "title": "Registry of the bench",
        "kind": "securities",
        "operator": REGISTRY,
        "depository": REGISTRY,
        "assets": {security(n): _asset(ISSUER, "FaceAmt") for n in range(SECURITIES)},
    }


def _euro() -> dict[str, Any]:
    return {
        "title": "Currency of the bench",
        "kind": "currency",
        "operator": CENTRAL_BANK,
        "assets": {"EUR": _asset(CENTRAL_BANK, "Ccy")},
    }


def _asset(issuer: str, quantity_type: str) -> dict[str, Any]:
    return {"name": "Of the bench", "scale": 2, "issuer": issuer, "quantity_type": quantity_type}


def _member(number: int) -> dict[str, Any]:
    place = range(SECURITIES)
    letter = "ABCDEFGH"[number]
    return {
        "bic": f"BNM{letter}DEF0XXX",
        "name": f"Member {letter}",
        "lei": _lei(f"9999LOCKSTEPBENCH{letter}"),
        "accounts": {
            "registry": {f"REG-{letter}-{n:04d}": {security(n): FACE_AMOUNT} for n in place},
            "euro": {f"EUR-{letter}-{n:04d}": {"EUR": CASH} for n in place},
        },
    }


def security(number: int) -> str:
    """A fictitious ISIN: XS, as for international securities, and numbers never given out."""
    body = f"XS9998{number:05d}"
    return body + str(isin.calc_check_digit(body))


def _lei(body: str) -> str:
    return body + str(mod_97_10.calc_check_digits(body))
