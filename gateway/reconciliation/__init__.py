"""Reconciliation: whether each ledger is what it told, per issue and per account."""
