-- What was said of an agreed swap is found by the swap's id. Ids go by time (UUIDv7), so that what is
-- written together stands together, and both parties' notices share an entry; a hash of the id put
-- each anywhere. By hash remains what answers a message, whose header is long (0002).
DROP INDEX mailbox_hashtext_idx; -- `mailbox_subject` in every range, since there are ranges
CREATE INDEX mailbox_settlement ON mailbox (settlement)
    WHERE related IS NULL AND settlement IS NOT NULL;
CREATE INDEX mailbox_related ON mailbox (hashtext(related)) WHERE related IS NOT NULL;
