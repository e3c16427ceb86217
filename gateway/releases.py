"""Whether the holder of an HTLC's secret may hand it over (`POST /v1/settlements/{id}/release`).

Nothing here logs a secret, or puts it into an error.
"""

from typing import Final

from gateway.keys import Keys
from gateway.port import Denied, Refused
from gateway.runner import Runner
from htlc.events import SecretHanded
from htlc.hashlock import Hashlock
from htlc.settlement import Phase, Settlement
from htlc.swap import Fault, PartySecret
from htlc.units import LegId, MemberId

OF_VAULT: Final = "the gateway's vault holds the keys of this settlement"
NOT_HOLDER: Final = "only the holder of the secret hands it over"
WRONG: Final = "is not the preimage of the hash that was agreed"


class Releases:
    """Takes secrets from their holders."""

    def __init__(self, keys: Keys, runner: Runner) -> None:
        self._keys = keys
        self._runner = runner

    async def take(
        self, state: Settlement, by: MemberId, leg: LegId, preimage: bytes
    ) -> Denied | Refused | None:
        """Why a secret is not taken; None: it is kept, and used as soon as that may be. The same
        again changes nothing."""
        secret = state.swap.secret
        if secret is None:
            return Denied(code="OTHR", why=OF_VAULT)
        if by != secret.holder:
            return Denied(code="OTHR", why=NOT_HOLDER)
        if fault := _fault(state, secret, leg, preimage):
            return Refused(faults=(fault,))
        if state.secret_handed or state.phase is Phase.SETTLED:
            return None
        if (no := may_release(state)) is not None:
            return Denied.of(no)
        await self._keys.keep(state.swap.id, preimage)
        no = await self._runner.request(state.swap.id, SecretHanded(by=by), may_release)
        return None if no is None else Denied.of(no)


def may_release(state: Settlement) -> str | None:
    """Why a secret is taken no more, or not yet, with the code of the denial."""
    if state.phase is Phase.PROPOSED:
        return "DPRG it is not open: every payer's consent comes first"
    if state.phase is Phase.CANCELLED:
        return "DCAN it is cancelled already"
    return None


def _fault(state: Settlement, secret: PartySecret, leg: LegId, preimage: bytes) -> Fault | None:
    opened = [item.leg for item in state.swap.legs]
    if state.agreement is not None:
        opened = [
            item.terms.leg
            for item in state.agreed.legs
            if item.terms.execution_lock.digest == secret.digest
        ]
    if leg not in opened:
        return Fault(field="leg", rule=f"is one that the secret opens: {', '.join(opened)}")
    function = secret.function
    lock = Hashlock(algorithm=function.algorithm, encoding=function.encoding, digest=secret.digest)
    return None if lock.opens(preimage) else Fault(field="preimage", rule=WRONG)
