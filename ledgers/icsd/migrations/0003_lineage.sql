-- How each change of members was decided, for who knows the first members only: a final block with
-- the state that a quorum signed. Epochs that people began stand in `recoveries`.
CREATE TABLE lineage (
    number bigint PRIMARY KEY, -- of the epoch that was decided
    body   bytea  NOT NULL     -- MessagePack of `ledgers.icsd.client.Decided`
);
