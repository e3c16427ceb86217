"""Reads scenario files: the shipped catalogue, settings, and the files that users write.

What is wrong with a file is said in one line each: the file, the line, the key, and what is allowed
there. Only a file without a fault becomes a `Scenario`.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.machine.world import smallest_units
from gateway.simulation.scenario import (
    LIVE,
    MOMENTS,
    WITH_LEG,
    AlterHolding,
    CutOffRegistry,
    Fault,
    MomentKind,
    Scenario,
    action,
    faults_of,
    moment,
)
from gateway.simulation.scenario_allowed import allowed
from gateway.simulation.scenario_lines import line_of
from htlc.swap import LockProtocol
from ledgers.instruments import is_bic, is_isin

CATALOGUE: Final = Path(__file__).parent / "scenarios"
SETTINGS: Final = CATALOGUE / "settings"

_LEG: Final = re.compile(r"[A-Z0-9]{1,8}").fullmatch
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,30}").fullmatch


class ScenarioError(Exception):
    """What is wrong with a scenario file, one line for each fault."""


class Wrong(msgspec.Struct, frozen=True, kw_only=True):
    """A fault in a file: the path of the key, and the rule that it breaks."""

    path: str
    rule: str


def names() -> list[str]:
    """The shipped scenarios, in the order of the catalogue: by group letter, then number."""
    return sorted(path.stem for path in CATALOGUE.glob("*.toml"))


def find(name: str) -> Path:
    """The file of a shipped scenario, or a path that ends in `.toml`. Raises ScenarioError."""
    if name.endswith(".toml"):
        return Path(name)
    if name not in names():
        raise ScenarioError(
            f"there is no scenario {name!r}: `lockstep scenario list` shows them all, "
            "or give a file NAME.toml"
        )
    return CATALOGUE / f"{name}.toml"


def load(path: Path) -> Scenario:
    """The scenario of a file, checked. Raises ScenarioError with a line for each fault."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: {error}") from None
    return parse(text, str(path))


def parse(text: str, name: str = "scenario") -> Scenario:
    """The same for a text; `name` stands before each line of the answer."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{name}: not TOML: {error}") from None
    content, wrong = _with_setting(content)
    if not wrong:
        read = _convert(content)
        wrong = (read,) if isinstance(read, Wrong) else tuple(_faults(read))
        if not wrong and isinstance(read, Scenario):
            return read
    raise ScenarioError("\n".join(_line(name, text, each) for each in wrong))


def _line(name: str, text: str, wrong: Wrong) -> str:
    number = line_of(text, wrong.path)
    place = name if number is None else f"{name}:{number}"
    return f"{place}: {wrong.path or 'the file'}: {wrong.rule}"


def _with_setting(content: dict[str, Any]) -> tuple[dict[str, Any], tuple[Wrong, ...]]:
    """The content with its setting underneath: what the file says itself goes first."""
    name = content.get("setting")
    if name is None:
        return content, ()
    shipped = sorted(path.stem for path in SETTINGS.glob("*.toml"))
    if name not in shipped:
        return content, (Wrong(path="setting", rule=f"is one of {', '.join(shipped)}"),)
    below = tomllib.loads((SETTINGS / f"{name}.toml").read_text(encoding="utf-8"))
    return _merged(below, content), ()


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Tables are merged key by key; anything else is replaced."""
    return {
        key: _merged(below[key], above[key])
        if isinstance(below.get(key), dict) and isinstance(above.get(key), dict)
        else above.get(key, below.get(key))
        for key in (*below, *(key for key in above if key not in below))
    }


def _convert(content: dict[str, Any]) -> Scenario | Wrong:
    try:
        return msgspec.convert(content, Scenario)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `")
        path = _named(content, place.rstrip("`").removeprefix("$").removeprefix("."), str(error))
        if unknown := re.search(r"unknown field `(.+)`", what):
            path = f"{path}.{unknown[1]}" if path else unknown[1]
            what = "there is no such key"
        options = allowed(Scenario, path, content)
        return Wrong(path=path, rule=f"{what}; allowed: {', '.join(options)}" if options else what)


def _named(content: dict[str, Any], path: str, said: str) -> str:
    """msgspec writes `ledgers[...]` for a table of free keys: the key is the one without whose
    neighbours the same is said."""
    if "[...]" not in path:
        return path
    table, _, rest = path.partition("[...]")
    if table not in content:  # a table within a table: its own name is enough
        return table
    for key, value in content[table].items():
        try:
            msgspec.convert(content | {table: {key: value}}, Scenario)
        except msgspec.ValidationError as error:
            if str(error) == said:
                return f"{table}.{key}{rest.replace('[...]', '')}"
    return table


# --------------------------------------------------------------------------- the rules


def _faults(scenario: Scenario) -> Iterator[Wrong]:
    """What the types do not say: names that refer to each other, amounts, moments."""
    if scenario.not_yet is not None:
        return
    if scenario.registries:
        yield from _network(scenario)
        return
    if not scenario.ledgers or not scenario.parties or not scenario.legs:
        yield Wrong(path="setting", rule="a scenario has ledgers, parties and legs, or a setting")
        return
    yield from _ledgers(scenario)
    yield from _parties(scenario)
    yield from _legs(scenario)
    if scenario.day is None and not scenario.cases:
        yield Wrong(path="cases", rule="a scenario has one case at least, each with its end")
    for n, fault in enumerate(scenario.faults):
        yield from _fault(scenario, f"faults[{n}]", fault)
    for n, _ in enumerate(scenario.cases):
        yield from _case(scenario, n)


def _network(scenario: Scenario) -> Iterator[Wrong]:
    """A registry network has faults of registries only, at given times."""
    if len(scenario.registries) < 4:
        yield Wrong(path="registries", rule="four or more: fewer withstand no lie")
    for n, case in enumerate(scenario.cases):
        for m, fault in enumerate(faults_of(scenario, case)):
            place, when = f"cases[{n}].faults[{m}]", moment(fault.when)
            if not isinstance(fault, CutOffRegistry | AlterHolding):
                rule = "a registry network has `cut_off_registry` and `alter_holding`"
                yield Wrong(path=f"{place}.do", rule=rule)
            elif fault.registry not in scenario.registries[1:]:
                known = ", ".join(scenario.registries[1:])
                yield Wrong(path=f"{place}.registry", rule=f"is one of {known}; the first watches")
            if when is None or when.kind is not MomentKind.AT:
                yield Wrong(path=f"{place}.when", rule="`at N s`")


def _ledgers(scenario: Scenario) -> Iterator[Wrong]:
    for name, ledger in scenario.ledgers.items():
        place = f"ledgers.{name}"
        if not _NAME(name):
            yield Wrong(path=place, rule="a ledger is named by small letters, digits and hyphens")
        if ledger.kind == "securities" and not is_isin(ledger.asset):
            yield Wrong(path=f"{place}.asset", rule="an ISIN with its check digit (ISO 6166)")
        for key in ("operator", "issuer"):
            if not _is_test_bic(getattr(ledger, key)):
                yield Wrong(path=f"{place}.{key}", rule=_TEST_BIC)


_TEST_BIC: Final = "a test BIC of 11 characters: its 8th character is 0, so it names no real bank"


def _is_test_bic(text: str) -> bool:
    return len(text) == 11 and text[7] == "0" and is_bic(text)


def _parties(scenario: Scenario) -> Iterator[Wrong]:
    for name, party in scenario.parties.items():
        if not _is_test_bic(party.bic):
            yield Wrong(path=f"parties.{name}.bic", rule=_TEST_BIC)
        for ledger, amount in party.holds.items():
            place = f"parties.{name}.holds.{ledger}"
            if ledger not in scenario.ledgers:
                yield Wrong(path=place, rule=_one_of("a ledger", scenario.ledgers))
            elif rule := _amount_rule(scenario, ledger, amount):
                yield Wrong(path=place, rule=rule)


def _legs(scenario: Scenario) -> Iterator[Wrong]:
    for n, leg in enumerate(scenario.legs):
        place = f"legs[{n}]"
        if not _LEG(leg.leg):
            yield Wrong(path=f"{place}.leg", rule="1 to 8 capitals and digits")
        for key in ("payer", "payee"):
            if getattr(leg, key) not in scenario.parties:
                yield Wrong(path=f"{place}.{key}", rule=_one_of("a party", scenario.parties))
        if leg.ledger not in scenario.ledgers:
            yield Wrong(path=f"{place}.ledger", rule=_one_of("a ledger", scenario.ledgers))
        elif rule := _amount_rule(scenario, leg.ledger, leg.amount):
            yield Wrong(path=f"{place}.amount", rule=rule)


def _amount_rule(scenario: Scenario, ledger: str, amount: str) -> str | None:
    try:
        smallest_units(amount, scenario.ledgers[ledger].scale)
    except ValueError as error:
        return str(error)
    return None


def _one_of(what: str, known: Mapping[str, object]) -> str:
    return f"is {what} of this scenario: {', '.join(known)}"


def _case(scenario: Scenario, n: int) -> Iterator[Wrong]:
    case, place = scenario.cases[n], f"cases[{n}]"
    if any(case.name == other.name for other in scenario.cases[:n]):
        yield Wrong(path=f"{place}.name", rule=f"{case.name!r} names another case already")
    if case.secret is not None and case.secret not in scenario.parties:
        yield Wrong(path=f"{place}.secret", rule=_one_of("a party", scenario.parties))
    if case.secret is not None and case.protocol is LockProtocol.TWO_KEY:
        rule = "two_key keeps both keys in the vault: no party holds a secret"
        yield Wrong(path=f"{place}.secret", rule=rule)
    for leg in case.legs:
        yield from _leg_known(scenario, f"{place}.legs.{leg}", leg)
    allowed_ends = scenario.ends.get(case.protocol)
    if scenario.ends and (allowed_ends is None or case.end not in allowed_ends):
        ends = ", ".join(allowed_ends or ("nothing: the situation cannot arise there",))
        yield Wrong(path=f"{place}.end", rule=f"{case.protocol} allows {ends} (`ends`)")
    if case.live and scenario.not_live is not None:
        yield Wrong(path=f"{place}.live", rule="the scenario says `not_live`")
    for m, fault in enumerate(case.faults):
        yield from _fault(scenario, f"{place}.faults[{m}]", fault)
    for fault in faults_of(scenario, case) if case.live else ():
        if not isinstance(fault, LIVE):
            rule = f"{action(fault)} can be made in the simulator only"
            yield Wrong(path=f"{place}.live", rule=rule)


def _fault(scenario: Scenario, place: str, fault: Fault) -> Iterator[Wrong]:
    when = moment(fault.when)
    if when is None:
        yield Wrong(path=f"{place}.when", rule=f"{fault.when!r} is no moment; allowed: {MOMENTS}")
    elif when.kind in WITH_LEG:
        yield from _leg_known(scenario, f"{place}.when", when.leg)
    for key, known in (("ledger", scenario.ledgers), ("party", scenario.parties)):
        named = getattr(fault, key, None)
        if named is not None and named not in known:
            yield Wrong(path=f"{place}.{key}", rule=_one_of(f"a {key}", known))
    if (leg := getattr(fault, "leg", None)) is not None:
        yield from _leg_known(scenario, f"{place}.leg", leg)
    clock = getattr(fault, "of", "gateway")
    if clock != "gateway" and clock not in scenario.ledgers:
        yield Wrong(path=f"{place}.of", rule=f"`gateway`, or {', '.join(scenario.ledgers)}")


def _leg_known(scenario: Scenario, place: str, leg: str | None) -> Iterator[Wrong]:
    known = {each.leg: each for each in scenario.legs}
    if leg not in known:
        yield Wrong(path=place, rule=_one_of("a leg", known))
