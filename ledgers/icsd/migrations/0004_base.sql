-- A registry that joined by a snapshot has no history from before it: where its own begins.
ALTER TABLE head
    ADD COLUMN base        bigint NOT NULL DEFAULT 0,  -- height of the snapshot; 0 without one
    ADD COLUMN base_at     bigint NOT NULL DEFAULT 0,  -- ledger time of that block
    ADD COLUMN base_cursor text   NOT NULL DEFAULT ''; -- last posting of the ordinary chain by then
