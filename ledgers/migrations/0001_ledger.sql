-- The tables of one ledger: one database per ledger.
--
-- Names are compared byte by byte (COLLATE "C"): faster, and independent of the system's locale.
-- Quantities and instants are bigint: the book keeps every total within 63 bits.
-- There is an index only where a row is looked for; each one costs every batch.

-- One row. Locking it makes batches serial, over any number of replicas of this ledger; its two
-- hashes name the whole state, so a replica knows whether anybody else has written since.
CREATE TABLE head (
    one             boolean PRIMARY KEY DEFAULT true CHECK (one),
    ledger          text    NOT NULL,
    height          bigint  NOT NULL DEFAULT 0,
    hash            bytea   NOT NULL, -- of the block at `height`
    clock           bigint  NOT NULL DEFAULT 0, -- the latest ledger time that was ever told
    administration  bytea   NOT NULL  -- hash of the last line of the log of administration
) WITH (fillfactor = 10); -- rewritten by every batch: room for HOT updates in its page

CREATE TABLE accounts (
    id      text COLLATE "C" PRIMARY KEY,
    owner   text COLLATE "C" NOT NULL,
    blocked boolean NOT NULL DEFAULT false
);
CREATE INDEX accounts_by_owner ON accounts (owner, id);

CREATE TABLE instruments (
    asset         text COLLATE "C" PRIMARY KEY,
    name          text NOT NULL,
    scale         smallint NOT NULL,
    quantity_type text NOT NULL,
    issuer        text NOT NULL,
    counter       text COLLATE "C" NOT NULL REFERENCES accounts
);

-- The checks say once more what the book asserts: no holder is ever negative, and only the
-- counter-account of an asset stands below zero. No foreign keys: the book has judged the account
-- and the instrument in this very transaction, and they are never deleted.
CREATE TABLE balances (
    account   text COLLATE "C" NOT NULL,
    asset     text COLLATE "C" NOT NULL,
    counter   boolean NOT NULL DEFAULT false,
    available bigint  NOT NULL,
    locked    bigint  NOT NULL,
    PRIMARY KEY (account, asset),
    CHECK (locked >= 0),
    CHECK (CASE WHEN counter THEN available <= 0 ELSE available >= 0 END)
) WITH (fillfactor = 50); -- updated all the time: room for HOT updates

CREATE TABLE mandates (
    account  text COLLATE "C" NOT NULL REFERENCES accounts,
    operator text COLLATE "C" NOT NULL,
    ceiling  bigint NOT NULL, -- for one lock
    until    bigint NOT NULL, -- ledger time
    PRIMARY KEY (account, operator)
);

-- A hash function is written as in the key of a lock: algorithm/encoding, e.g. sha256/raw.
CREATE TABLE contracts (
    id                    uuid PRIMARY KEY,
    settlement            uuid   NOT NULL,
    leg                   text   NOT NULL,
    payer                 text   NOT NULL,
    payee                 text   NOT NULL,
    asset                 text   NOT NULL,
    quantity              bigint NOT NULL CHECK (quantity > 0),
    execution_function    text   NOT NULL,
    execution_digest      bytea  NOT NULL,
    cancellation_function text,
    cancellation_digest   bytea,
    lock_by               bigint NOT NULL,
    expires_at            bigint,
    locked_at             bigint NOT NULL,
    status                text   NOT NULL,
    ended_at              bigint,
    key                   bytea
) WITH (fillfactor = 45);
-- Each row is updated once, when it ends, by a version some 45 bytes larger than its 300 to 400: with
-- 45 of 100 parts filled, the second version of every row fits beside the first (HOT).

-- How a contract ended, as a batch sends it.
CREATE TYPE ending AS (id uuid, status text, ended_at bigint, key bytea);

-- Issue, redeem and transfer: what was done under an id, so that a repeat has no second effect.
CREATE TABLE operations (
    id     text COLLATE "C" PRIMARY KEY,
    digest bytea NOT NULL
);

CREATE TABLE blocks (
    height    bigint PRIMARY KEY,
    previous  bytea  NOT NULL,
    root      bytea  NOT NULL,
    count     int    NOT NULL CHECK (count > 0),
    at        bigint NOT NULL,
    hash      bytea  NOT NULL,
    signature bytea  NOT NULL
);

-- The leaves of the blocks, in canonical bytes: appended, never changed.
CREATE TABLE postings (
    height   bigint NOT NULL,
    position int    NOT NULL,
    debit    text COLLATE "C" NOT NULL, -- these two repeat the leaf, for an owner's statement
    credit   text COLLATE "C" NOT NULL,
    leaf     bytea  NOT NULL,
    PRIMARY KEY (height, position)
);
ALTER TABLE postings ALTER COLUMN leaf SET STORAGE PLAIN; -- 300 to 900 bytes: not worth compressing
CREATE INDEX postings_by_debit ON postings (debit, height, position);
-- A lock, cancel or refund stays on its account and is found by its debit side.
CREATE INDEX postings_by_credit ON postings (credit, height, position) WHERE credit <> debit;

-- For people with psql: the entries as columns.
CREATE VIEW entries AS
    SELECT height, position, entry ->> 'op' AS op, entry ->> 'id' AS id, entry ->> 'by' AS "by",
           (entry ->> 'at')::bigint AS at, debit, credit, entry ->> 'asset' AS asset,
           (entry ->> 'quantity')::bigint AS quantity
    FROM postings, LATERAL (SELECT convert_from(leaf, 'UTF8')::jsonb AS entry) AS decoded;

-- Who did which act of administration; each line holds the hash of the one before.
CREATE TABLE administration (
    number   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       bigint NOT NULL,
    by       text   NOT NULL,
    act      jsonb  NOT NULL,
    previous bytea  NOT NULL,
    hash     bytea  NOT NULL
);
