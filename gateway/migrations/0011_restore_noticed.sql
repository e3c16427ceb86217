-- What a ledger knows of ours and the journal does not, noticed without a restore being declared: no
-- gateway starts until one is.
ALTER TABLE epoch ADD COLUMN lacking text;

-- A declared restore may say since when records may be lacking: facts of ledgers before that (UTC
-- nanoseconds) need not be read.
ALTER TABLE restore ADD COLUMN since_at bigint;
