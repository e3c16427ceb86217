-- Which instruction of a member waits until which other one is settled (Lnkgs of sese.023: AFTE, and
-- BEFO the other way round). Either may be named before it is there.
CREATE TABLE link (
    member    text NOT NULL,
    waits     text NOT NULL,  -- its TxId
    waits_for text NOT NULL,  -- TxId of the other one
    PRIMARY KEY (member, waits, waits_for)
);
