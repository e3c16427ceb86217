"""The trials come out as they must by our own rules, and each lie about a lock shows in one."""

from types import SimpleNamespace
from typing import Any

import pytest

from htlc import contract, trials
from htlc.contract import Htlc, Refusal, Status
from htlc.hashlock import Algorithm, Encoding, HashFunction
from htlc.trials import EXPIRING, TWO_KEY

FUNCTIONS = [HashFunction(algorithm=a, encoding=e) for a in Algorithm for e in Encoding]
ALL = TWO_KEY + EXPIRING


def liar(**lies: Any) -> Any:
    """Our rules, but for these."""
    honest = {name: getattr(contract, name) for name in ("lock", "execute", "cancel", "refund")}
    return SimpleNamespace(**(honest | lies))


def any_length(opens: Any) -> Any:
    """A ledger that hashes whatever it is given."""

    def ended(htlc: Htlc, key: bytes, at: int) -> Htlc | Refusal:
        lock = htlc.terms.execution_lock if opens is contract.execute else None
        lock = lock or htlc.terms.cancellation_lock
        assert lock is not None
        if lock.function.digest(key) == lock.digest and len(key) != 32:
            status = Status.EXECUTED if opens is contract.execute else Status.CANCELLED
            return contract.Htlc(terms=htlc.terms, status=status, locked_at=htlc.locked_at)
        return opens(htlc, key, at)

    return ended


LIES = {
    "a claim with 31 bytes": liar(execute=any_length(contract.execute)),
    "a cancellation with 31 bytes": liar(cancel=any_length(contract.cancel)),
    "a lock at lock_by": liar(lock=lambda terms, at: contract.lock(terms, at - 1)),
    "a lock just before lock_by": liar(lock=lambda terms, at: contract.lock(terms, at + 1)),
    "a claim at expiry": liar(execute=lambda h, k, at: contract.execute(h, k, at - 1)),
    "a claim just before expiry": liar(execute=lambda h, k, at: contract.execute(h, k, at + 1)),
    "a refund just before expiry": liar(refund=lambda h, at: contract.refund(h, at + 1)),
    "a refund at expiry": liar(refund=lambda h, at: contract.refund(h, at - 1)),
    "a claim with its key": liar(execute=lambda h, k, at: Refusal.WRONG_KEY),
    "a cancellation with its key": liar(cancel=lambda h, k, at: Refusal.WRONG_KEY),
}


@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
def test_our_rules_pass_with_every_hash_function(function: HashFunction) -> None:
    told = trials.outcomes(function, contract, ALL)
    assert trials.fault(told, ALL) is None
    assert told == tuple(str(trial.expected) for trial in ALL)


@pytest.mark.parametrize("name", sorted(LIES))
def test_a_lie_is_named_by_the_trial_that_shows_it(name: str) -> None:
    told = trials.outcomes(FUNCTIONS[0], LIES[name], ALL)
    fault = trials.fault(told, ALL)
    assert fault is not None and fault.startswith(f"{name} is ")


def test_trials_that_are_not_told_are_a_fault() -> None:
    assert trials.fault((), ALL) == f"it tells of 0 trials of locks, there are {len(ALL)}"
