"""What can go wrong in a simulated world, as plain values, and the moments at which it does.

A run's faults are a plan: a tuple of `Scripted`. Whether a person wrote it (a scenario) or a seed
drew it (a random life) makes no difference, and leaving one out is how a failing life is shrunk.
Times and durations are in the unit of the world.
"""

import msgspec

from gateway.simulation.trace import Happened, What
from htlc.units import AccountId, AssetId, LegId, MemberId, SettlementId


class _Value(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """Tagged: a plan is printed and read back as JSON."""


# ------------------------------------------------------------------ moments


class At(_Value, frozen=True, kw_only=True):
    """A virtual time since the start."""

    time: int


class When(_Value, frozen=True, kw_only=True):
    """The `nth` entry of the trace that fits: what is left out fits all. `detail` is how the
    entry's detail begins. The fault comes at once, before the node's next step."""

    what: What
    node: str | None = None
    settlement: SettlementId | None = None
    leg: LegId | None = None
    detail: str = ""
    nth: int = 1
    later: int = 0  # so much after the entry, instead of at once

    def fits(self, entry: Happened) -> bool:
        return (
            entry.what is self.what
            and (self.node is None or self.node == entry.node)
            and (self.settlement is None or self.settlement == entry.settlement)
            and (self.leg is None or self.leg == entry.leg)
            and entry.detail.startswith(self.detail)
        )


Moment = At | When


def committed(settlement: SettlementId | None = None) -> When:
    """COMMIT is durable, and nothing that depends on it has left yet."""
    return When(what=What.DECIDED, detail="COMMIT", settlement=settlement)


def cancelled(settlement: SettlementId | None = None) -> When:
    """CANCEL is durable, and nothing has been opened back yet."""
    return When(what=What.DECIDED, detail="CANCEL", settlement=settlement)


def executed(leg: str | None = None, settlement: SettlementId | None = None) -> When:
    """A leg is executed on its ledger; the gateway has not heard of it yet."""
    return When(what=What.EXECUTED, leg=None if leg is None else LegId(leg), settlement=settlement)


def key_sent(leg: str | None = None, settlement: SettlementId | None = None) -> When:
    """A key has left the gateway towards the ledger of `leg`."""
    name = None if leg is None else LegId(leg)
    return When(what=What.SENT, detail="Unlock", settlement=settlement, leg=name)


# ------------------------------------------------------------------ faults of machines and links


class Crash(_Value, frozen=True, kw_only=True):
    """A process dies: its memory is gone, what it was sent meanwhile is lost. None: the gateway at
    which the moment's entry happened. A ledger keeps its books and answers nobody."""

    node: str | None = None
    outage: int


class CrashAll(_Value, frozen=True, kw_only=True):
    """Every replica of the gateway dies at once."""

    outage: int


class Cut(_Value, frozen=True, kw_only=True):
    """Messages between a gateway and a ledger are lost; None stands for all of them."""

    gateway: str | None = None
    ledger: str | None = None
    outage: int


class JournalDown(_Value, frozen=True, kw_only=True):
    """Nothing can be appended or read: the gateway's database is away."""

    outage: int


class Lose(_Value, frozen=True, kw_only=True):
    """The next `count` messages are lost: to a ledger, or (`back`) the answers from it."""

    ledger: str | None = None
    back: bool = False
    count: int = 1


class Double(_Value, frozen=True, kw_only=True):
    """The next `count` messages arrive twice."""

    ledger: str | None = None
    back: bool = False
    count: int = 1


class Delay(_Value, frozen=True, kw_only=True):
    """The next `count` messages come `by` later: others overtake them."""

    ledger: str | None = None
    back: bool = False
    by: int
    count: int = 1


class Noise(_Value, frozen=True, kw_only=True):
    """From now on each message may be lost, doubled, or late (`straggler`: by up to `straggle`)."""

    loss: float = 0.0
    losses_in_row_max: int = 1_000_000
    doubling: float = 0.0
    straggler: float = 0.0
    straggle: int = 0


class Disturbance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What noise did to message number `message` of a run."""

    message: int
    lost: bool = False
    copies: int = 1
    late: int = 0


class Replay(_Value, frozen=True, kw_only=True):
    """Exactly these disturbances instead of noise: a failing life is shrunk to the few it needs."""

    disturbed: tuple[Disturbance, ...] = ()


class Step(_Value, frozen=True, kw_only=True):
    """A node's clock is set forward or back."""

    node: str
    by: int


class Drift(_Value, frozen=True, kw_only=True):
    """A node's clock runs fast or slow by parts per million, from now on."""

    node: str
    ppm: int


class Reorganise(_Value, frozen=True, kw_only=True):
    """The ledger undoes its last change, if it is not yet final."""

    ledger: str | None = None  # None: the one of the moment's entry
    after: int = 0


class Restore(_Value, frozen=True, kw_only=True):
    """All replicas are gone, and the journal comes back without its last `lost` records (never
    without an OPEN), in a new epoch."""

    lost: int
    outage: int


# ------------------------------------------------------------------ what people do


class Cancel(_Value, frozen=True, kw_only=True):
    """A party asks for cancellation; `ordered`: an authority orders it."""

    settlement: SettlementId | None = None
    by: MemberId
    ordered: bool = False


class UseSecret(_Value, frozen=True, kw_only=True):
    """The holder of a secret claims the leg that pays it, on the ledger, as soon as that leg is
    locked there (at once if it is). Without this, or `HandSecret`, it withholds."""

    settlement: SettlementId | None = None


class ClaimLate(_Value, frozen=True, kw_only=True):
    """The holder claims only `before` its own expiry, on the ledger's clock: its right."""

    settlement: SettlementId | None = None
    before: int = 1


class HandSecret(_Value, frozen=True, kw_only=True):
    """The holder gives its secret to the vault."""

    settlement: SettlementId | None = None


class Block(_Value, frozen=True, kw_only=True):
    """A ledger's operator blocks an account."""

    ledger: str
    account: AccountId


class Spend(_Value, frozen=True, kw_only=True):
    """An owner transfers away what it has, as far as it is free."""

    ledger: str
    account: AccountId
    asset: AssetId


class Resolve(_Value, frozen=True, kw_only=True):
    """Two operators decide what a restore froze, with the evidence, which is right here."""

    settlement: SettlementId | None = None


Fault = (
    Crash
    | CrashAll
    | Cut
    | JournalDown
    | Lose
    | Double
    | Delay
    | Noise
    | Replay
    | Step
    | Drift
    | Reorganise
    | Restore
    | Cancel
    | UseSecret
    | ClaimLate
    | HandSecret
    | Block
    | Spend
    | Resolve
)


class Scripted(_Value, frozen=True, kw_only=True):
    """One fault of a plan and its moment. `once` False: at every entry that fits."""

    moment: Moment
    fault: Fault
    once: bool = True


Plan = tuple[Scripted, ...]
