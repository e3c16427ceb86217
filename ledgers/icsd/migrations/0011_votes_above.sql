-- Above which height this registry may vote as everybody does. NULL: it does not know what it has
-- signed, because this database is new (`ledgers.icsd.returning`).
ALTER TABLE head ADD COLUMN votes_above bigint;
UPDATE head SET votes_above = 0 WHERE step > 0;
