"""The keys of locks: derived by the vault, or secrets that parties have handed over.

The holder of an HTLC's secret may claim on the ledger itself, or hand its secret to the gateway, so
that every leg is claimed as soon as that may be. It is never logged and never in the journal, which
only says that it is there.
"""

import asyncio
from collections.abc import Callable

from gateway.journal import LOST, QUERIES
from gateway.sql import Pool
from gateway.vault import Vault
from htlc import commands
from htlc.agreement import EXECUTION, Role
from htlc.commands import ToLedger
from htlc.contract import Terms
from htlc.keys import may_show
from htlc.settlement import Settlement
from htlc.units import SettlementId
from ledgers.port import Cancel, Execute, Lock, Operation, Refund


class Keys:
    """Secrets of parties are kept sealed in the database, and in memory from their first use on."""

    def __init__(self, pool: Pool, vault: Vault, say: Callable[[str], None]) -> None:
        self._pool = pool
        self._vault = vault
        self._say = say
        self._known: dict[SettlementId, bytes] = {}
        self._reading: dict[SettlementId, asyncio.Task[None]] = {}

    async def keep(self, id: SettlementId, preimage: bytes) -> None:
        """Durable when it returns; the caller has asked whether it opens the lock."""
        await self._pool.execute(QUERIES["keep_secret"], id, self._vault.seal(id, preimage))

    def is_unread(self, state: Settlement, command: ToLedger, then: Callable[[], None]) -> bool:
        """Whether a command needs a party's secret that was handed over and is not read yet; then
        it is being read, and `then` is called afterwards."""
        if not isinstance(command, commands.Unlock) or command.key is not None:
            return False
        id = state.swap.id
        if not held_by_party(state, command.leg, command.role) or id in self._known:
            return False
        if id not in self._reading:
            self._reading[id] = asyncio.create_task(self._read(id, then))
        return True

    def operation(self, state: Settlement, command: ToLedger, terms: Terms) -> Operation | None:
        """What carries a command out on its ledger, with its key; None is a look."""
        match command:
            case commands.Lock():
                return Lock(terms=terms)
            case commands.Unlock():
                key = command.key or self.key(state, command.leg, command.role)
                execution = command.role is EXECUTION
                return Execute(id=terms.id, key=key) if execution else Cancel(id=terms.id, key=key)
            case commands.Refund():
                return Refund(id=terms.id)
            case commands.Look():
                return None

    def key(self, state: Settlement, leg: int, role: Role) -> bytes:
        """A key that is to be shown now; that it may be is asked once more."""
        if not held_by_party(state, leg, role):
            return self._vault.key(state, leg, role)
        assert may_show(state, leg, role), "a party's secret is shown by the same rules"
        return self._known[state.swap.id]

    def forget(self, id: SettlementId) -> None:
        """The settlement has ended."""
        self._known.pop(id, None)

    async def _read(self, id: SettlementId, then: Callable[[], None]) -> None:
        try:
            sealed = await self._pool.fetchval(QUERIES["handed_secret"], id)
            assert sealed is not None, "it is kept before the journal says so"
            self._known[id] = self._vault.unseal(id, sealed)
        except LOST as error:
            self._say(f"the secret handed over for {id} cannot be read yet: {error!r}")
        finally:
            del self._reading[id]
        then()


def held_by_party(state: Settlement, leg: int, role: Role) -> bool:
    """Whether this key is a party's secret, which the vault cannot derive."""
    secret = state.swap.secret
    if secret is None or role is not EXECUTION:
        return False
    return state.agreed.legs[leg].terms.execution_lock.digest == secret.digest
