"""Whether a ledger does what it declares, asked before the first lock on it (design rule 5)."""

from htlc.hashlock import PROBE_PREIMAGE
from ledgers.port import Description


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
    return None
