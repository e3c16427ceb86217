-- What a batch did to one balance, as it sends it: by how much its sides changed or, of a balance that
-- had no row, what they are; and beside the first balance of each account, where the postings of the
-- account are in the block. One row for both because a driver spends more on a row than on its members.
CREATE TYPE touched AS (
    account   text,
    asset     text,
    fresh     boolean, -- there was no row
    available bigint,
    locked    bigint,
    positions text     -- an array's notation: {0,3}
);
