"""A world: the ledgers, members, assets and opening balances that `lockstep up` brings to life.

A world is one TOML file. It describes institutions and what they own; addresses, databases, keys
and tokens are no part of it, they are made by `up` in its data directory. A wrong file stops the
start with one line that names the key and the rule.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal

import msgspec

from gateway.calendars import CalendarSettings
from gateway.config import (
    ConfigurationError,
    ConnectionSettings,
    LatencySettings,
    LimitSettings,
    MatchingSettings,
    SigningSettings,
    WebhookSettings,
    check_calendars,
    read,
)
from htlc.hashlock import HashFunction
from htlc.units import QUANTITY_MAX, AccountId
from ledgers import currency, securities
from ledgers.icsd.nodes import home
from ledgers.instruments import SCALE_MAX, Instrument, ReferenceDataError, is_bic, is_lei
from ledgers.names import is_name
from ledgers.port import LockKind

WORLDS: Final = Path(__file__).parent / "worlds"
"""The worlds that come with the program."""

DEFAULT: Final = "dvp"

NETWORK: Final = "cross-border"
"""The world that has a network of registries."""

REPLICAS_MAX: Final = 8
"""Gateway processes of one machine: more than its cores would only share them."""

_ledger_name = re.compile(r"[a-z][a-z0-9-]{0,30}").fullmatch
"""A ledger's name stands in file names, database names and metric labels."""

_registry_name = re.compile(r"[A-Z][A-Z0-9]{0,7}").fullmatch
"""A registry's name stands in subjects of the log, and before each of its accounts."""

_amount = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]+)?").fullmatch
"""An amount as people write it: no sign, no exponent, no leading zeros."""


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file. A key that we do not know is a typing error: refused."""


class AssetSpec(_Table, frozen=True, kw_only=True):
    """A security (its key is the ISIN) or a currency (its key is the ISO 4217 code)."""

    name: str
    scale: int
    issuer: str  # BIC of the issuer's agent, or of the central bank
    quantity_type: Literal["FaceAmt", "Unit", "Ccy"]
    registry: str | None = None  # that keeps the issue; on a network of registries only


class RegistrySpec(_Table, frozen=True, kw_only=True):
    """One registry of a network (its key is its name, which the accounts at it begin with)."""

    title: str
    operator: str  # BIC: the CSD
    dsn: str | None = None  # of its PostgreSQL database; None is an embedded one


class LedgerSpec(_Table, frozen=True, kw_only=True):
    """An independent ledger: who runs it, what it keeps, which locks it can hold."""

    title: str
    kind: Literal["securities", "currency"]
    operator: str  # BIC: the CSD or registrar, or the central bank's ledger operation
    depository: str | None = None  # BIC that a sese.023 names; securities only
    lock_kinds: tuple[LockKind, ...] = (LockKind.TWO_KEY, LockKind.HTLC)
    hash_function: HashFunction = HashFunction()
    dsn: str | None = None  # of its PostgreSQL database; None is an embedded one
    latency: LatencySettings = LatencySettings()
    calendar: CalendarSettings = CalendarSettings()
    registries: dict[str, RegistrySpec] = {}  # that keep it together; none: one process alone
    assets: dict[str, AssetSpec]


class MemberSpec(_Table, frozen=True, kw_only=True):
    """A member, and what it owns when the world begins: ledger, account, asset, decimal amount."""

    bic: str
    name: str
    lei: str
    accounts: dict[str, dict[str, dict[str, str]]]
    #: The gateway pays for it what it has instructed; false: it sends payment orders (pacs.009).
    power_of_attorney: bool = True
    advise_after_seconds: float = 1.0  # a state of the locks that has lasted this long is told
    connection: ConnectionSettings = ConnectionSettings()


class GatewaySpec(_Table, frozen=True, kw_only=True):
    """The gateway: who it is, how many processes serve it, and what it departs from defaults in."""

    bic: str
    replicas: int = 1
    dsn: str | None = None  # of its PostgreSQL database; None is an embedded one
    limits: LimitSettings = LimitSettings()
    matching: MatchingSettings = MatchingSettings()
    signing: SigningSettings | None = None
    webhooks: WebhookSettings = WebhookSettings()


class World(_Table, frozen=True, kw_only=True):
    """All of it."""

    title: str
    gateway: GatewaySpec
    ledgers: dict[str, LedgerSpec]
    members: tuple[MemberSpec, ...]


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """What a member owns on an account when the world begins, in the asset's smallest unit."""

    member: str
    ledger: str
    account: str
    asset: str
    quantity: int


def find(name: str) -> Path:
    """The file of a world: a shipped one by its name, or a path that ends in `.toml`."""
    if name.endswith(".toml"):
        return Path(name)
    shipped = sorted(path.stem for path in WORLDS.glob("*.toml"))
    if name not in shipped:
        raise ConfigurationError(
            f"there is no world {name!r}: take one of {', '.join(shipped)}, or a file NAME.toml"
        )
    return WORLDS / f"{name}.toml"


def load(path: Path) -> World:
    """The world in a file, checked; ConfigurationError in one line if it breaks a rule."""
    world = read(path, World)
    try:
        _check(world)
        check_calendars({name: ledger.calendar for name, ledger in world.ledgers.items()})
    except ReferenceDataError as error:
        raise ConfigurationError(f"{path}: {error.field}: {error.rule}") from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    return world


def instrument(code: str, asset: AssetSpec) -> Instrument:
    """An asset as its ledger defines it; ReferenceDataError if it breaks a rule."""
    account = counter_account(code)
    if asset.quantity_type == currency.QUANTITY_TYPE:
        return currency.currency(
            code=code, scale=asset.scale, central_bank=asset.issuer, reserves_account=account
        )
    return securities.security(
        isin=code,
        name=asset.name,
        scale=asset.scale,
        quantity_type=asset.quantity_type,
        issuer=asset.issuer,
        issuer_account=account,
    )


def counter_account(code: str) -> AccountId:
    """The account that stands at minus the issued amount of an asset."""
    return AccountId(f"ISSUED-{code}")


def holdings(world: World) -> Iterator[Holding]:
    """Every opening balance, in the order of the file."""
    for member in world.members:
        for ledger, accounts in member.accounts.items():
            for account, assets in accounts.items():
                for asset, amount in assets.items():
                    yield Holding(
                        member=member.bic,
                        ledger=ledger,
                        account=account,
                        asset=asset,
                        quantity=smallest_units(amount, world.ledgers[ledger].assets[asset].scale),
                    )


def smallest_units(amount: str, scale: int) -> int:
    """A decimal text in the smallest unit of an asset; ValueError with the rule it breaks."""
    if not _amount(amount):
        raise ValueError("a decimal number without sign, exponent or leading zeros")
    units = Decimal(amount).scaleb(scale)
    if units != units.to_integral_value():
        raise ValueError(f"at most {scale} decimals")
    if units > QUANTITY_MAX:
        raise ValueError("does not fit 63 bits in the smallest unit")
    return int(units)


def decimal_text(units: int, scale: int) -> str:
    """The reverse: smallest units as people write them, with all decimals of the asset."""
    return f"{Decimal(units).scaleb(-scale):f}"


# --- the rules ------------------------------------------------------------------------------------


def _check(world: World) -> None:
    _require(_is_test_bic(world.gateway.bic), "gateway.bic", _TEST_BIC)
    replicas = 1 <= world.gateway.replicas <= REPLICAS_MAX
    _require(replicas, "gateway.replicas", f"1 to {REPLICAS_MAX} processes")
    _require(bool(world.ledgers), "ledgers", "a world has one ledger at least")
    for name, ledger in world.ledgers.items():
        _check_ledger(f"ledgers.{name}", name, ledger)
    bics = [member.bic for member in world.members]
    for n, member in enumerate(world.members):
        place = f"members[{n}]"
        _require(member.bic not in bics[:n], f"{place}.bic", f"{member.bic} is a member already")
        _check_member(place, member, world)
    _check_accounts(world)
    _check_issues(world)


def _check_ledger(place: str, name: str, ledger: LedgerSpec) -> None:
    _require(
        _ledger_name(name) is not None,
        place,
        "a ledger's name is 1 to 31 lower-case letters, digits and hyphens",
    )
    _require(_is_test_bic(ledger.operator), f"{place}.operator", _TEST_BIC)
    if ledger.kind == "securities":
        depository = ledger.depository or ""
        _require(_is_test_bic(depository), f"{place}.depository", _TEST_BIC)
    else:
        _require(ledger.depository is None, f"{place}.depository", "a currency has no depository")
        banks = {asset.issuer for asset in ledger.assets.values()}
        _require(len(banks) == 1, f"{place}.assets", "a currency ledger has one central bank")
    _require(bool(ledger.lock_kinds), f"{place}.lock_kinds", "one kind of lock at least")
    _check_registries(place, ledger)
    for code, asset in ledger.assets.items():
        _check_asset(f"{place}.assets.{code}", code, asset, ledger.kind)


def _check_registries(place: str, ledger: LedgerSpec) -> None:
    for name, registry in ledger.registries.items():
        where = f"{place}.registries.{name}"
        _require(ledger.kind == "securities", where, "a currency has one ledger")
        # CUT is the subject of all registries together.
        fits = _registry_name(name) is not None and name != "CUT"
        _require(fits, where, "1 to 8 capital letters and digits, a letter first, and not CUT")
        _require(_is_test_bic(registry.operator), f"{where}.operator", _TEST_BIC)
    _require(
        not ledger.registries or ledger.dsn is None,
        f"{place}.dsn",
        "each registry of a network has a database of its own",
    )
    for code, asset in ledger.assets.items():
        known = asset.registry in ledger.registries if ledger.registries else asset.registry is None
        expected = ", ".join(ledger.registries) or "nothing: this ledger has no registries"
        _require(known, f"{place}.assets.{code}.registry", f"expected {expected}")


def _check_asset(place: str, code: str, asset: AssetSpec, kind: str) -> None:
    money = asset.quantity_type == currency.QUANTITY_TYPE
    _require(
        money == (kind == "currency"),
        f"{place}.quantity_type",
        "Ccy on a currency ledger, FaceAmt or Unit on a securities ledger",
    )
    _require(_is_test_bic(asset.issuer), f"{place}.issuer", _TEST_BIC)
    _require(0 <= asset.scale <= SCALE_MAX, f"{place}.scale", f"0 to {SCALE_MAX} decimals")
    try:
        instrument(code, asset)
    except ReferenceDataError as error:
        raise ReferenceDataError(f"{place}.{error.field}", error.rule) from None


def _check_member(place: str, member: MemberSpec, world: World) -> None:
    _require(_is_test_bic(member.bic), f"{place}.bic", _TEST_BIC)
    _require(is_lei(member.lei), f"{place}.lei", "an LEI of 20 characters with right check digits")
    for ledger, accounts in member.accounts.items():
        where = f"{place}.accounts.{ledger}"
        _require(ledger in world.ledgers, where, f"one of {', '.join(sorted(world.ledgers))}")
        for account, assets in accounts.items():
            # 35 characters is what SfkpgAcct of ISO 20022 holds (Max35Text).
            fits = is_name(account) and len(account) <= 35
            _require(fits, f"{where}.{account}", "1 to 35 visible ASCII characters")
            _check_home(f"{where}.{account}", account, world.ledgers[ledger])
            for asset, amount in assets.items():
                _check_holding(f"{where}.{account}.{asset}", world.ledgers[ledger], asset, amount)


def _check_home(place: str, account: str, ledger: LedgerSpec) -> None:
    at_home = not ledger.registries or home(AccountId(account), ledger.registries) is not None
    _require(at_home, place, "begins with its registry and a hyphen")


def _check_holding(place: str, ledger: LedgerSpec, asset: str, amount: str) -> None:
    _require(asset in ledger.assets, place, "an asset of that ledger")
    try:
        units = smallest_units(amount, ledger.assets[asset].scale)
    except ValueError as error:
        raise ReferenceDataError(place, str(error)) from None
    _require(units > 0, place, "more than nothing; leave out what is not held")


def _check_accounts(world: World) -> None:
    """Within a ledger, an account has one owner."""
    seen: set[tuple[str, str]] = set()
    for n, member in enumerate(world.members):
        for ledger, accounts in member.accounts.items():
            for account in accounts:
                place = f"members[{n}].accounts.{ledger}.{account}"
                _require((ledger, account) not in seen, place, "is another member's account")
                counters = {counter_account(code) for code in world.ledgers[ledger].assets}
                _require(account not in counters, place, "is the issuer's own account")
                seen.add((ledger, account))


def _check_issues(world: World) -> None:
    issued: dict[tuple[str, str], int] = {}
    for held in holdings(world):
        key = (held.ledger, held.asset)
        issued[key] = issued.get(key, 0) + held.quantity
    for (ledger, asset), total in issued.items():
        place = f"ledgers.{ledger}.assets.{asset}"
        _require(total <= QUANTITY_MAX, place, "the issue does not fit 63 bits")


_TEST_BIC: Final = "a test BIC of 11 characters: its 8th character is 0, so it names no real bank"


def _is_test_bic(text: str) -> bool:
    return len(text) == 11 and text[7] == "0" and is_bic(text)


def _require(holds: bool, field: str, rule: str) -> None:
    if not holds:
        raise ReferenceDataError(field, rule)
