"""The gateway's configuration: one TOML file, secrets in files of their own, defaults with reasons.

A wrong file stops the start with one line that names the key and what was expected.
"""

import ipaddress
import itertools
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec

from gateway import calendars
from gateway.calendars import Calendars, CalendarSettings
from htlc.agreement import Limits
from htlc.schedule import Latency
from htlc.units import seconds
from protocols.iso20022.currencies import minor_units
from protocols.iso20022.lexical import decimal_text
from protocols.matching import Band, Tolerance

T = TypeVar("T")

_CLOCK: Final = re.compile(r"(([01][0-9]|2[0-3]):[0-5][0-9])?")


class ConfigurationError(Exception):
    """What is wrong with a configuration, in one line."""


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file. A key that we do not know is a typing error: refused."""


class LatencySettings(_Table, frozen=True, kw_only=True):
    """How long things take on one ledger at worst. They set the windows of `htlc`, and nothing of
    `two_key`."""

    #: The shipped ledgers answer after a durable commit: what they answer is final.
    finality_seconds: float = 0.0
    #: The runner looks at a lock that may change at least this often (`live.HOLD_MAX`).
    lookup_seconds: float = 1.0
    #: A batch waits for the one before it and for the network; 5 s is the links' own deadline.
    delivery_seconds: float = 5.0
    #: NTP keeps machines within milliseconds; a second is an alarm threshold long before.
    skew_seconds: float = 1.0

    def latency(self) -> Latency:
        return Latency(
            finality=seconds(self.finality_seconds),
            lookup=seconds(self.lookup_seconds),
            delivery=seconds(self.delivery_seconds),
            skew=seconds(self.skew_seconds),
        )


class LimitSettings(_Table, frozen=True, kw_only=True):
    """The time budget of a settlement, and the sizes that are refused beyond."""

    #: From opening until no leg may be locked any more. It bounds how long a refused attempt takes
    #: to end (a delayed lock could still arrive), so short; yet a backlog of 10,000 operations at
    #: 1,000/s must pass within it.
    lock_within_seconds: float = 20.0
    #: From opening until COMMIT or CANCEL. A gateway that was down for a minute still commits
    #: what it finds locked; longer, and owners want their assets back.
    commit_within_seconds: float = 60.0
    #: How long a proposal waits for the consent of all payers.
    consent_within_seconds: float = 3600.0
    #: `htlc` only: outage of everything that a settlement survives after the first claim. Ten
    #: minutes restart a site; every leg stays locked that much longer if something fails.
    recovery_seconds: float = 600.0
    #: `two_key` only: optional far expiry after commit_by. Off: it brings residual risk back.
    backstop_seconds: float | None = None
    #: Legs of one swap. A ring of four and a hub of eight fit; each more is one more window.
    legs_max: int = 16
    #: Settlements open at once; beyond, intake answers "busy". About 3 kB of memory each.
    open_max: int = 200_000
    #: Bytes of one request: a batch of 500 instructions of 3 kB, twice over.
    body_bytes_max: int = 4 * 1024 * 1024
    #: Messages or settlements in one request (`contract`: an array of up to 500).
    batch_max: int = 500

    def limits(self) -> Limits:
        backstop = self.backstop_seconds
        return Limits(
            lock_within=seconds(self.lock_within_seconds),
            commit_within=seconds(self.commit_within_seconds),
            recovery=seconds(self.recovery_seconds),
            backstop=None if backstop is None else seconds(backstop),
        )


class BandSettings(_Table, frozen=True, kw_only=True):
    """Amounts up to and including `up_to` (absent: all others) match within `difference`. Decimal
    text, as TOML's numbers are binary fractions."""

    up_to: str | None = None
    difference: str


def _t2s_bands() -> dict[str, tuple[BandSettings, ...]]:
    euro = (BandSettings(up_to="100000", difference="2.00"), BandSettings(difference="25.00"))
    return {"EUR": euro}


class MatchingSettings(_Table, frozen=True, kw_only=True):
    """How pairs are tried again, and what amounts may differ by."""

    #: A pair whose attempt failed is tried again after this, doubling up to the maximum, and at
    #: once when a settlement brings its payer what it lacks.
    retry_first_seconds: float = 5.0
    retry_max_seconds: float = 300.0
    #: An instruction that is unmatched for this long is alleged to its counterparty (sese.028).
    #: The standard delay of TARGET2-Securities: within the hour most second sides come anyway.
    allege_after_seconds: float = 3600.0
    #: Business days after which what does not come to its end is cancelled by the system (CANS),
    #: counted from the settlement date or, if later, from the last change of status. The recycling
    #: periods of TARGET2-Securities: long enough for a counterparty that finds its mistake.
    unmatched_days: int = 20
    #: The same for what is matched: three months; by then a failed trade is closed out otherwise.
    matched_days: int = 60
    #: By how much the two amounts may differ, by currency, chosen by the deliverer's amount; one
    #: without bands matches exactly. The bands of TARGET2-Securities, which are those of the EU
    #: settlement discipline (Delegated Regulation 2018/1229): 2.00 up to 100,000, 25.00 above.
    tolerance: dict[str, tuple[BandSettings, ...]] = msgspec.field(default_factory=_t2s_bands)


class WebhookSettings(_Table, frozen=True, kw_only=True):
    """Where members may have their mailbox delivered to."""

    #: Networks (CIDR) that are spoken to beside the public internet: those of the members, if they
    #: are private; loopback, on one machine. None by default: a URL that a member chooses is a
    #: request from inside the gateway's own network. Link-local addresses are never spoken to.
    allow_networks: tuple[str, ...] = ()
    #: Whether `http:` is taken beside `https:`. Deliveries are signed, not encrypted.
    allow_http: bool = False


class StatementSettings(_Table, frozen=True, kw_only=True):
    """Statements of accounts (semt.002, semt.017, camt.053)."""

    #: Sent at the end of each business day of a ledger (its cut-off, else its midnight), to the
    #: owner of each account. A business date that is set by hand has no end: none are sent then.
    daily: bool = True


class ReconciliationSettings(_Table, frozen=True, kw_only=True):
    """When what the ledgers say is held against what they told before."""

    #: HH:MM in UTC, every day; an empty text: only when an operator asks. In the evening of Europe:
    #: after the cut-offs, with the night to clear a break before settlement begins (RTS 2017/392,
    #: Art. 65).
    daily_at: str = "19:00"

    def at(self) -> time | None:
        return time.fromisoformat(self.daily_at) if self.daily_at else None


class ShutdownSettings(_Table, frozen=True, kw_only=True):
    """What a gateway does between SIGTERM and its end."""

    #: For this long it is not ready and still takes intake: until whoever balances load has seen
    #: it. Zero where nobody does; on Kubernetes some seconds.
    announce_seconds: float = 0.0
    #: Then it takes nothing new and finishes what is open for at most this long. A settlement takes
    #: 0.1 s; one that waits for a ledger that is away is left to the journal. With five seconds for
    #: the last answers it stays below the ten that `up` waits before SIGKILL.
    finish_seconds: float = 3.0


class LedgerSettings(_Table, frozen=True, kw_only=True):
    """A ledger that the gateway settles on, and its access to it as an operator."""

    kind: Literal["securities", "currency"]
    url: str
    #: Of a network of registries: the node of each. Accounts begin with their registry's name. A
    #: lock goes to its payer's registry, all else to any; `url` is then not asked.
    registries: dict[str, str] = {}
    token_file: Path
    depository: str | None = None  # BIC of the CSD: what sese.023 names (securities)
    latency: LatencySettings = LatencySettings()
    calendar: CalendarSettings = CalendarSettings()


class ConnectionSettings(_Table, frozen=True, kw_only=True):
    """What is agreed with a member about its messages."""

    #: Definitions that it may send (`sese.023.001.12`); absent: all that are read here.
    accept: tuple[str, ...] | None = None
    #: Versions in which it is written to (`"sese.024" = "13"`); others as in the recommended
    #: profile. The answers to one instruction keep the version that held when it came.
    emit: dict[str, str] = {}
    #: Of what it sends: `required`, `optional` (checked where there is one), `off` (not looked at).
    signatures: Literal["off", "optional", "required"] = "off"
    #: Its certificates (PEM), two while one is replaced. No other verifies, whoever issued it.
    certificate_files: tuple[Path, ...] = ()
    #: Whether what it is sent as XML is signed with the gateway's key.
    sign: bool = False


class SigningSettings(_Table, frozen=True, kw_only=True):
    """The gateway's own key for signatures, and its certificate: PEM, PKCS #8 without a password;
    ECDSA on P-256, or RSA of 2048 bits and more."""

    key_file: Path
    certificate_file: Path


class MemberSettings(_Table, frozen=True, kw_only=True):
    """A member: who may connect, as what, and whose accounts it uses, the first by default."""

    bic: str
    name: str
    token_sha256: str
    next_token_sha256: str | None = None  # while its token is changed: both are good
    lei: str | None = None
    accounts: dict[str, tuple[str, ...]] = {}
    #: It is told what happens to positions: a depository of every lock in its registry (semt.013 to
    #: .015), an account owner of its own (.014, .015). Off: custodians have sese.024 and sese.025.
    position_messages: bool = False
    #: Agreed swaps that name it as a payer need no further consent, and its matched instructions
    #: are paid without a payment order (pacs.009) of its own. Mind: ANY member may open a swap that
    #: takes from one who gave it, unasked; what bounds that are its mandates at the ledgers.
    power_of_attorney: bool = False
    #: A state of the locks that has lasted this long is told: ten times what a settlement takes.
    advise_after_seconds: float = 1.0
    connection: ConnectionSettings = ConnectionSettings()


class OperatorSettings(_Table, frozen=True, kw_only=True):
    """Somebody who may see and cancel beyond its own trades."""

    name: str
    role: Literal["gateway", "ledger", "central-bank"]
    token_sha256: str
    next_token_sha256: str | None = None  # while its token is changed: both are good
    ledger: str | None = None


class Settings(_Table, frozen=True, kw_only=True):
    """Everything a gateway process needs."""

    bic: str
    dsn: str  # or file:PATH, see `database`
    master_file: Path
    listen: str = "127.0.0.1:8080"  # HOST:PORT, or fd:N for an inherited socket
    metrics_listen: str = "127.0.0.1:9090"
    replica: str = "gateway-1"  # a name of its own for each process on one database
    business_date: str | None = None  # YYYY-MM-DD; None is today, UTC
    ledgers: dict[str, LedgerSettings]
    members: tuple[MemberSettings, ...]
    operators: tuple[OperatorSettings, ...] = ()
    limits: LimitSettings = LimitSettings()
    matching: MatchingSettings = MatchingSettings()
    signing: SigningSettings | None = None
    webhooks: WebhookSettings = WebhookSettings()
    shutdown: ShutdownSettings = ShutdownSettings()
    statements: StatementSettings = StatementSettings()
    reconciliation: ReconciliationSettings = ReconciliationSettings()


EXPIRY_DAYS_MAX: Final = 200
"""Business days; what is older than a year is no trade that waits but one that was forgotten."""

SECRET_MODE: Final = 0o600


def read(path: Path, kind: type[T]) -> T:
    """A configuration file as `kind`; ConfigurationError in one line if it is not."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=kind, dec_hook=_hook)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$.")
        where = place.rstrip("`") or "the file"
        raise ConfigurationError(f"{path}: {where}: {what}") from None
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from None


def _hook(kind: type, value: object) -> object:
    """msgspec knows no paths."""
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(f"{kind} stands in no configuration")


def secret(path: Path) -> str:
    """A token from its file."""
    try:
        return path.read_text().strip()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None


DSN_FILE: Final = "file:"


def database(dsn: str) -> str:
    """The DSN of a database: as written, or read now from the file that `file:PATH` names.

    A DSN has a password in it, and an orchestrator mounts those as files."""
    path = dsn.removeprefix(DSN_FILE)
    return dsn if path == dsn else secret(Path(path))


def check(settings: Settings) -> Settings:
    """What the types do not say: names that refer to each other, delays that are some."""
    _check_members(settings)
    for n, operator in enumerate(settings.operators):
        if operator.role == "ledger" and operator.ledger not in settings.ledgers:
            raise ConfigurationError(
                f"operators[{n}].ledger: expected one of {sorted(settings.ledgers)}"
            )
    after = settings.matching.allege_after_seconds
    if not 0 < after < float("inf"):  # nan, which TOML can write, is not either
        raise ConfigurationError(
            f"matching.allege_after_seconds: expected more than 0 seconds, found {after}"
        )
    for key in ("unmatched_days", "matched_days"):
        if not 1 <= getattr(settings.matching, key) <= EXPIRY_DAYS_MAX:
            raise ConfigurationError(f"matching.{key}: expected 1 to {EXPIRY_DAYS_MAX} days")
    for name, access in settings.ledgers.items():
        if access.kind == "securities" and access.depository is None:
            raise ConfigurationError(f"ledgers.{name}.depository: expected the CSD's BIC")
    if _CLOCK.fullmatch(settings.reconciliation.daily_at) is None:
        raise ConfigurationError(
            'reconciliation.daily_at: expected HH:MM (UTC), such as "19:00", or an empty text'
        )
    check_calendars({name: access.calendar for name, access in settings.ledgers.items()})
    tolerance_of(settings.matching)
    check_networks(settings.webhooks)
    return settings


def check_networks(webhooks: WebhookSettings) -> None:
    """Each is a network. Raises ConfigurationError."""
    for n, network in enumerate(webhooks.allow_networks):
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise ConfigurationError(f"webhooks.allow_networks[{n}]: {error}") from None


def tolerance_of(matching: MatchingSettings) -> Tolerance:
    """The tolerance bands; ConfigurationError if they are not in order."""
    return {code: _bands(code, given) for code, given in matching.tolerance.items()}


def _bands(currency: str, given: tuple[BandSettings, ...]) -> tuple[Band, ...]:
    place = f"matching.tolerance.{currency}"
    if minor_units(currency) is None:
        raise ConfigurationError(f"{place}: expected an active currency (ISO 4217)")
    try:
        bands = tuple(
            Band(
                up_to=None if item.up_to is None else Decimal(decimal_text(item.up_to)),
                difference=Decimal(decimal_text(item.difference)),
            )
            for item in given
        )
    except ValueError as error:
        raise ConfigurationError(f"{place}: {error}") from None
    limits = [band.up_to for band in bands[:-1]]
    rising = all(x is not None and y is not None and x < y for x, y in itertools.pairwise(limits))
    if not bands or bands[-1].up_to is not None or None in limits or not rising:
        raise ConfigurationError(
            f"{place}: expected bands with rising up_to, and a last one without for all above"
        )
    return bands


def _check_members(settings: Settings) -> None:
    for n, member in enumerate(settings.members):
        for ledger in member.accounts:
            if ledger not in settings.ledgers:
                raise ConfigurationError(
                    f"members[{n}].accounts.{ledger}: expected one of {sorted(settings.ledgers)}"
                )
    bics = [member.bic for member in settings.members]
    for n, bic in enumerate(bics):
        if bic in bics[:n]:
            raise ConfigurationError(f"members[{n}].bic: {bic} is a member already")


def check_calendars(ledgers: Mapping[str, CalendarSettings]) -> None:
    """Each is sound, and any two ledgers are open together some time."""
    for name, calendar in ledgers.items():
        if (wrong := calendars.fault(calendar)) is not None:
            key, expected = wrong
            raise ConfigurationError(f"ledgers.{name}.calendar.{key}: {expected}")
    today = datetime.now(UTC).date()
    for x, y in itertools.combinations(ledgers, 2):
        if calendars.never_together(ledgers[x], ledgers[y], today):
            raise ConfigurationError(
                f"ledgers.{y}.calendar: it is never open at the same time as {x}: "
                "no settlement between the two would ever begin"
            )


def calendars_of(settings: Settings) -> Calendars:
    """The business days of the ledgers, under the business date if that is set."""
    fixed = settings.business_date
    return Calendars(
        {name: access.calendar for name, access in settings.ledgers.items()},
        date.fromisoformat(fixed) if fixed else None,
    )
