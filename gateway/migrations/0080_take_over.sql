-- Whose pairs wait: asked every second for replicas that are gone, which are none. Without this index
-- each time all pairs that wait were read, and what vacuum had not yet removed of those that did.
CREATE INDEX pending_pair_replica ON pending_pair (replica);
