-- What is open, and the replica that works on it, apart from what a settlement stays: a row here goes
-- when it ends. Marked in its own row, each end wrote that row and all its index entries again, and
-- left the first for vacuum to find in a table that only grows.
CREATE TABLE open_settlement (
    settlement uuid PRIMARY KEY,
    replica    integer NOT NULL
);
CREATE INDEX open_settlement_replica ON open_settlement (replica);
INSERT INTO open_settlement SELECT settlement, replica FROM settlement WHERE replica IS NOT NULL;
ALTER TABLE settlement DROP COLUMN replica; -- and with it the index settlement_open
