"""Whether a ledger does what it declares, asked before the first lock on it (design rule 5)."""

from htlc import trials
from htlc.hashlock import PROBE_PREIMAGE
from ledgers.port import Description
from ledgers.profile import trials_of


def fault(name: str, description: Description) -> str | None:
    """What is wrong with a ledger's description, in a sentence; None if it can be trusted.

    A wrong digest of the probe means that this ledger hashes otherwise than it says: a lock made
    for it could never be opened, or be opened by something else."""
    if description.ledger != name:
        return f"it calls itself {description.ledger}, the configuration calls it {name}"
    if not description.lock_kinds or not description.hash_functions:
        return "it serves no kind of lock, or no hash function"
    for function, probe in zip(description.hash_functions, description.probe, strict=False):
        if function.digest(PROBE_PREIMAGE) != probe:
            return f"its digest of the probe is not {function.algorithm} over {function.encoding}"
    if len(description.probe) != len(description.hash_functions):
        return "it gives another number of probes than of hash functions"
    return _trial_fault(description)


def _trial_fault(description: Description) -> str | None:
    """A boundary that is off by one, or a preimage of another length taken, makes settlements
    one-legged that are sound by everything else."""
    wanted = trials_of(description.lock_kinds)
    if len(description.trials) != len(description.hash_functions):
        return "it does not tell of the trials of locks for each of its hash functions"
    for function, told in zip(description.hash_functions, description.trials, strict=True):
        if (fault := trials.fault(told, wanted)) is not None:
            return f"{fault} ({function.algorithm} over {function.encoding})"
    return None
