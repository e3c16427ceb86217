"""The settlement protocol as arithmetic: pure, no I/O, no clock, no randomness, no logging.

Read in this order: `units`, `hashlock`, `contract` (one lock on one ledger), `swap` (what the
parties agree), `schedule` (the time arithmetic), `agreement` (swap + locks + times), `events` and
`commands` (what goes in and out), `coordinator` (the protocol), `invariants` (what must hold).
"""
