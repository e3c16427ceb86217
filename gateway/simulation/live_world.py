"""The world of `lockstep up` that a scenario's ledgers, parties and terms become."""

from pathlib import Path
from typing import Any, Final

import tomli_w

from gateway.simulation.scenario import Scenario
from gateway.simulation.scenario_terms import account

GATEWAY_BIC: Final = "LKSPBEB0XXX"

#: On one machine a message is judged within milliseconds; a second leaves room for a busy one.
DELIVERY_SECONDS: Final = 1.0
#: All processes read the same clock.
SKEW_SECONDS: Final = 0.2


def world(scenario: Scenario) -> str:
    """The world as TOML. Everything is final at once, as on the shipped ledgers."""
    content: dict[str, Any] = {
        "title": f"Scenario {scenario.id}",
        "gateway": {
            "bic": GATEWAY_BIC,
            "replicas": scenario.replicas,
            "limits": {
                "lock_within_seconds": scenario.live.lock_within_seconds,
                "commit_within_seconds": scenario.live.commit_within_seconds,
                "recovery_seconds": scenario.live.recovery_seconds,
            },
        },
        "ledgers": {name: _ledger(scenario, name) for name in scenario.ledgers},
        "members": [_member(scenario, name) for name in scenario.parties],
    }
    if scenario.live.backstop_seconds is not None:
        content["gateway"]["limits"]["backstop_seconds"] = scenario.live.backstop_seconds
    return tomli_w.dumps(content)


def write(scenario: Scenario, path: Path) -> None:
    path.write_text(world(scenario), encoding="utf-8")


def _ledger(scenario: Scenario, name: str) -> dict[str, Any]:
    spec = scenario.ledgers[name]
    securities = spec.kind == "securities"
    return {
        "title": spec.title,
        "kind": spec.kind,
        "operator": spec.operator,
        **({"depository": spec.operator} if securities else {}),
        "lock_kinds": [str(kind) for kind in spec.locks],
        "hash_function": {
            "algorithm": str(spec.hash.algorithm),
            "encoding": str(spec.hash.encoding),
        },
        "latency": {"delivery_seconds": DELIVERY_SECONDS, "skew_seconds": SKEW_SECONDS},
        "assets": {
            spec.asset: {
                "name": spec.asset_name,
                "scale": spec.scale,
                "issuer": spec.issuer,
                "quantity_type": "FaceAmt" if securities else "Ccy",
            }
        },
    }


def _member(scenario: Scenario, name: str) -> dict[str, Any]:
    """With an account on each ledger of which it holds or is to get something."""
    party = scenario.parties[name]
    used = set(party.holds) | {
        leg.ledger for leg in scenario.legs if name in (leg.payer, leg.payee)
    }
    return {
        "bic": party.bic,
        "name": party.name,
        "lei": _lei(party.bic),
        "accounts": {
            ledger: {account(scenario, name, ledger): _holding(scenario, name, ledger)}
            for ledger in sorted(used)
        },
    }


def _holding(scenario: Scenario, name: str, ledger: str) -> dict[str, str]:
    amount = scenario.parties[name].holds.get(ledger)
    return {scenario.ledgers[ledger].asset: amount} if amount is not None else {}


def _lei(bic: str) -> str:
    """A fictitious LEI with right check digits (ISO 17442: ISO 7064 MOD 97-10)."""
    body = f"9999LOCKSTEP{bic[:6]}"
    digits = "".join(str(int(character, 36)) for character in f"{body}00")
    return f"{body}{98 - int(digits) % 97:02d}"
