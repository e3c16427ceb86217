"""The settlement protocol as arithmetic: pure, no I/O, no clock, no randomness, no logging.

Read in this order: `units`, `hashlock`, `contract` (one lock on one ledger), `swap` (what the
parties agree), `schedule` (the time arithmetic), `choice` and `agreement` (which protocol; swap +
locks + times), `events` and `commands` (what goes in and out), `leg` and `settlement` (what is
known), `keys` (what may be shown when), `clocks`, `coordinator` (the protocol), `invariants` (what
must hold). `explorer` searches every life of a settlement, `diagram` draws what it saw.
"""
