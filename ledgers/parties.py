"""Who may do what on a ledger: principals, the accounts they own, the mandates they give."""

from enum import StrEnum

import msgspec

from htlc.units import AccountId, Instant, Quantity


class Role(StrEnum):
    """What a principal is to a ledger."""

    OWNER = "owner"  # holds accounts: locks and transfers from them, gives mandates on them
    OPERATOR = "operator"  # a gateway: acts under mandates, reads blocks and facts
    ISSUER = "issuer"  # of securities, or the central bank of a currency: issues and redeems
    LEDGER_OPERATOR = "ledger-operator"  # opens and blocks accounts, defines instruments
    SUPERVISOR = "supervisor"  # reads everything, changes nothing


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who speaks, as the ledger has authenticated it."""

    name: str
    role: Role

    @property
    def sees_everything(self) -> bool:
        """Blocks, facts and every account, as far as the role alone decides."""
        return self.role in (Role.LEDGER_OPERATOR, Role.SUPERVISOR)

    @property
    def follows_the_ledger(self) -> bool:
        """Blocks and the facts of all: a gateway reconciles with them."""
        return self.sees_everything or self.role is Role.OPERATOR


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account. A block stops new locks and transfers from it, never an execute or cancel."""

    id: AccountId
    owner: str  # the name of a principal
    blocked: bool = False


class Mandate(msgspec.Struct, frozen=True, kw_only=True):
    """The owner's leave for `operator` to lock from `account`, and to move from it to accounts of
    the same owner; given by the owner."""

    account: AccountId
    operator: str
    limit: Quantity  # for one lock or move, in the smallest unit of its asset
    until: Instant  # ledger time; covers a lock at `at < until`

    def covers(self, quantity: int, at: Instant) -> bool:
        return quantity <= self.limit and at < self.until


class Balance(msgspec.Struct, frozen=True, gc=False):
    """What an account holds of one asset: free, and bound in contracts (smallest units)."""

    available: int = 0
    locked: int = 0
