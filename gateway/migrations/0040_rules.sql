-- Business days: which one a pair settles on, and since when it fails.

-- Both sides' reason codes, for the same reason is told again when it becomes a failing one.
ALTER TABLE pending_pair ADD COLUMN mirrored text NOT NULL DEFAULT '';
ALTER TABLE pending_pair ADD COLUMN failing boolean NOT NULL DEFAULT false;
-- The defaults serve what waits already, and replicas of the release before that still write.
ALTER TABLE pending_pair ADD COLUMN settle_on date NOT NULL DEFAULT current_date;
ALTER TABLE pending_pair ADD COLUMN told_on date NOT NULL DEFAULT current_date;

-- When an unmatched instruction was last told something new: it expires some days after.
ALTER TABLE instruction ADD COLUMN changed_at bigint;
