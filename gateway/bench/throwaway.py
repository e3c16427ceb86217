"""The world that the bench makes for itself: enough accounts and balances, nothing else.

Two circles of members (of a DvP: pairs), each with an account per security and a cash account, for
each currency, to go with it.
Trades are spread over 64 securities, because instructions in one security between the same members
on the same day are looked through when they are matched, and no market has a single security.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import tomli_w
from stdnum import isin
from stdnum.iso7064 import mod_97_10

from gateway.bench.plan import SECURITY_LEG, Shape

CIRCLES: Final = 2
SECURITIES: Final = 64

ACCOUNTS: Final = SECURITIES
"""Of each member on each ledger that it trades on: one for each security, or as many."""

FACE_AMOUNT: Final = "10000000000.00"
CASH: Final = "10000000000.00"
"""Of each account: a trade moves at most ten, and every second one moves it back."""

GATEWAY: Final = "BNCHNL20XXX"
REGISTRY: Final = "BNRGDEF0XXX"
ISSUER: Final = "BNISLUL0XXX"

CURRENCIES: Final = {"euro": "EUR", "franc": "CHF", "krona": "SEK"}
"""Ledgers of currencies, as many as a shape needs."""

ABSENT: Final = "BNABDEF0XXX"
"""It has given no power of attorney and never consents: its trades lapse."""


def write(path: Path, shape: Shape = Shape.DVP) -> Path:
    """The world as a file that `gateway.machine.world` loads."""
    path.write_text(tomli_w.dumps(_world(shape)))
    return path


def _world(shape: Shape) -> dict[str, Any]:
    currencies = iter(CURRENCIES.items())
    ledgers = {}
    for leg in shape.legs:
        if leg == SECURITY_LEG:
            ledgers["registry"] = _registry()
        else:
            name, code = next(currencies)
            ledgers[name] = _currency(name, code)
    members = [_member(number, ledgers) for number in range(CIRCLES * len(shape.legs))]
    return {
        "title": f"Bench: {shape}",
        "gateway": {"bic": GATEWAY},
        "ledgers": ledgers,
        "members": [*members, _absent(ledgers)],
    }


def _registry() -> dict[str, Any]:
    return {
        "title": "Registry of the bench",
        "kind": "securities",
        "operator": REGISTRY,
        "depository": REGISTRY,
        "assets": {security(n): _asset(ISSUER, "FaceAmt") for n in range(SECURITIES)},
    }


def _currency(name: str, code: str) -> dict[str, Any]:
    central_bank = f"BN{code[:2]}DEF0XXX"
    return {
        "title": f"Digital {name} of the bench",
        "kind": "currency",
        "operator": central_bank,
        "assets": {code: _asset(central_bank, "Ccy")},
    }


def _asset(issuer: str, quantity_type: str) -> dict[str, Any]:
    return {"name": "Of the bench", "scale": 2, "issuer": issuer, "quantity_type": quantity_type}


def _member(number: int, ledgers: Iterable[str]) -> dict[str, Any]:
    letter = "ABCDEFGH"[number]
    return {
        "bic": f"BNM{letter}DEF0XXX",
        "name": f"Member {letter}",
        "lei": _lei(f"9999LOCKSTEPBENCH{letter}"),
        "accounts": {name: _accounts(name, letter) for name in ledgers},
    }


def _accounts(ledger: str, letter: str) -> dict[str, dict[str, str]]:
    if ledger == "registry":
        return {f"REG-{letter}-{n:04d}": {security(n): FACE_AMOUNT} for n in range(ACCOUNTS)}
    code = CURRENCIES[ledger]
    return {f"{code}-{letter}-{n:04d}": {code: CASH} for n in range(ACCOUNTS)}


def _absent(ledgers: Iterable[str]) -> dict[str, Any]:
    return {
        "bic": ABSENT,
        "name": "Member that never consents",
        "lei": _lei("9999LOCKSTEPBENCHX"),
        "accounts": {name: {f"{name.upper()}-ABSENT": {}} for name in ledgers},
        "power_of_attorney": False,
    }


def security(number: int) -> str:
    """A fictitious ISIN: XS, as for international securities, and numbers never given out."""
    body = f"XS9998{number:05d}"
    return body + str(isin.calc_check_digit(body))


def _lei(body: str) -> str:
    return body + str(mod_97_10.calc_check_digits(body))
