-- The tables of one registry node: one database per registry. The tables accounts, contracts,
-- blocks, postings and movements have the columns of the PostgreSQL ledger's, so its readers read
-- them (`ledgers/queries.sql`). Rows of the book stand as they are after the block at `head.height`;
-- blocks and postings of the ordinary chain only as far as blocks are final.

-- One row. `step` counts the writes of this database: a process that has not seen the last one
-- must not write, nor vote.
CREATE TABLE head (
    one          boolean PRIMARY KEY DEFAULT true CHECK (one),
    network      text   NOT NULL,
    registry     text   NOT NULL,
    step         bigint NOT NULL DEFAULT 0,
    height       bigint NOT NULL DEFAULT 0, -- of the last block applied, and so of the last in network_blocks
    final        bigint NOT NULL DEFAULT 0, -- of the last block whose rows are in the book
    place        bytea  NOT NULL, -- where the book stands: height, hash, time, epochs (MessagePack)
    log          bigint NOT NULL DEFAULT 1, -- the log that `position` counts in: the epoch that began it
    position     bigint NOT NULL DEFAULT 0, -- in the log, of the cut that closed the last block
    chain        bigint NOT NULL DEFAULT 0, -- height of the ordinary chain of blocks with effects
    chain_hash   bytea  NOT NULL
) WITH (fillfactor = 10); -- rewritten by every step: room for HOT updates in its page

-- What stands in the log, block by block, and what came of it: the archive that the log is not.
CREATE TABLE network_blocks (
    height    bigint PRIMARY KEY,
    hash      bytea  NOT NULL,
    body      bytea  NOT NULL, -- header, statement, messages, cut, outcomes (MessagePack)
    log       bigint NOT NULL, -- the log that it stands in: the epoch that began it
    position  bigint NOT NULL  -- in that log, of its cut
);
ALTER TABLE network_blocks ALTER COLUMN body SET STORAGE EXTERNAL; -- keys and digests: incompressible

-- What this registry has signed: one statement per height of an epoch, for ever.
CREATE TABLE votes (
    epoch  bigint NOT NULL,
    height bigint NOT NULL,
    body   bytea  NOT NULL, -- Signed, as it is told
    PRIMARY KEY (epoch, height)
);

CREATE TABLE certificates (
    height bigint PRIMARY KEY,
    body   bytea  NOT NULL
);

-- What registries can be convicted of by their own signatures.
CREATE TABLE evidence (
    registry text   COLLATE "C" NOT NULL,
    offence  text   NOT NULL,
    epoch    bigint NOT NULL,
    place    bigint NOT NULL, -- height of the votes, sequence of the bundles
    body     bytea  NOT NULL,
    found_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (registry, offence, epoch, place)
);

-- Own bundles, from before they are published until they are final.
CREATE TABLE outbox (
    sequence bigint PRIMARY KEY,
    body     bytea  NOT NULL -- Signed, as it is published
);

-- When a log was lost: what this registry has said, once per epoch, and what the network agreed on.
CREATE TABLE recoveries (
    kind   text   NOT NULL, -- stop (it votes no more), ballot (its consent), begun
    number bigint NOT NULL, -- of the epoch that ends (stop) or begins
    body   bytea  NOT NULL,
    PRIMARY KEY (kind, number)
);

-- --- the book -----------------------------------------------------------------------------------

CREATE TABLE accounts (
    id      text COLLATE "C" PRIMARY KEY,
    owner   text COLLATE "C" NOT NULL,
    blocked boolean NOT NULL DEFAULT false,
    home    text COLLATE "C" NOT NULL -- the registry that keeps the account
);
CREATE INDEX accounts_by_owner ON accounts (owner, id);

CREATE TABLE instruments (
    asset         text COLLATE "C" PRIMARY KEY,
    name          text NOT NULL,
    scale         smallint NOT NULL,
    quantity_type text NOT NULL,
    issuer        text NOT NULL,
    counter       text COLLATE "C" NOT NULL
);

CREATE TABLE balances (
    account   text COLLATE "C" NOT NULL,
    asset     text COLLATE "C" NOT NULL,
    available bigint NOT NULL,
    locked    bigint NOT NULL CHECK (locked >= 0),
    PRIMARY KEY (account, asset)
) WITH (fillfactor = 50); -- updated all the time: room for HOT updates

-- At the issuer registry of an asset: what the holders at another registry have in all.
CREATE TABLE omnibus (
    asset    text COLLATE "C" NOT NULL,
    registry text COLLATE "C" NOT NULL,
    quantity bigint NOT NULL CHECK (quantity >= 0),
    PRIMARY KEY (asset, registry)
) WITH (fillfactor = 50);

CREATE TABLE mandates (
    account  text COLLATE "C" NOT NULL,
    operator text COLLATE "C" NOT NULL,
    ceiling  bigint NOT NULL, -- for one lock
    until    bigint NOT NULL, -- ledger time
    PRIMARY KEY (account, operator)
);

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
) WITH (fillfactor = 45); -- as in the PostgreSQL ledger: room beside each for its one update

CREATE TABLE operations (
    id     text COLLATE "C" PRIMARY KEY,
    digest bytea NOT NULL
);

-- The last bundle of each registry.
CREATE TABLE sequences (
    registry text COLLATE "C" PRIMARY KEY,
    sequence bigint NOT NULL,
    hash     bytea  NOT NULL
) WITH (fillfactor = 10);

-- --- the ordinary chain: effects only, signed by this registry -----------------------------------

CREATE TABLE blocks (
    height    bigint PRIMARY KEY,
    previous  bytea  NOT NULL,
    root      bytea  NOT NULL,
    count     int    NOT NULL CHECK (count > 0),
    at        bigint NOT NULL,
    hash      bytea  NOT NULL,
    signature bytea  NOT NULL
);

CREATE TABLE postings (
    height   bigint NOT NULL,
    position int    NOT NULL,
    leaf     bytea  NOT NULL,
    PRIMARY KEY (height, position)
);
ALTER TABLE postings ALTER COLUMN leaf SET STORAGE PLAIN; -- 300 to 900 bytes: not worth compressing

CREATE TABLE movements (
    account   text COLLATE "C" NOT NULL,
    height    bigint NOT NULL,
    positions int[]  NOT NULL,
    PRIMARY KEY (account, height)
);
