-- The block of the network that did an operation: its place in the tree of what was done
-- (`ledgers.icsd.roots`). The heights of `postings` are those of this registry's own chain.
ALTER TABLE operations ADD COLUMN height bigint NOT NULL DEFAULT 0; -- that no block has
ALTER TABLE operations ALTER COLUMN height DROP DEFAULT;
