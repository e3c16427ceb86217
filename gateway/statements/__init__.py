"""Statements of accounts: what each owner holds and was booked, from the ledgers' own postings."""
