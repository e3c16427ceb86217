-- Whether a message that comes again says the same is found out from `raw`, when one does: a digest of
-- each, for that case, cost more than all else that splits a batch into its messages.
ALTER TABLE inbound DROP COLUMN digest;
