-- Statements of accounts, and the reconciliation of what ledgers say with what they told before.

-- A statement that was sent. Numbers are consecutive per account, kind, asset and frequency; a daily
-- one begins where the one before has ended. `asset` is the currency of a cash statement, else empty.
CREATE TABLE statement (
    statement     uuid PRIMARY KEY,
    member        text    NOT NULL,
    ledger        text    NOT NULL,
    account       text    NOT NULL,
    kind          text    NOT NULL, -- holdings, movements, cash
    asset         text    NOT NULL,
    frequency     text    NOT NULL, -- DAIL, INDA
    number        integer NOT NULL,
    business_date date    NOT NULL,
    opening_date  date    NOT NULL, -- the business day that ended where it begins
    from_cursor   text    NOT NULL, -- places in the ledger's order: after this one,
    to_cursor     text    NOT NULL, -- up to and with this one
    from_at       bigint  NOT NULL,
    to_at         bigint  NOT NULL,
    closing       bigint,           -- of a cash statement: what the next one opens with
    pages         integer NOT NULL,
    UNIQUE (ledger, account, kind, asset, frequency, number)
);
CREATE UNIQUE INDEX statement_daily ON statement (ledger, account, kind, asset, business_date)
    WHERE frequency = 'DAIL';

-- Pages of a statement that is being made: they go to the mailbox together, when there is a last one.
CREATE TABLE statement_page (
    statement uuid    NOT NULL,
    page      integer NOT NULL,
    id        uuid    NOT NULL, -- of the message
    made_at   bigint  NOT NULL,
    content   text    NOT NULL, -- JSON of protocols StatementPage
    PRIMARY KEY (statement, page)
);

-- Business days of a ledger whose daily statements were all sent.
CREATE TABLE statement_day (
    ledger        text   PRIMARY KEY,
    business_date date   NOT NULL,
    closed_at     bigint NOT NULL
);

-- The gateway's own record of each ledger: what its facts make of every account, as they were told.
-- A ledger that changes its past, or its balances beside its postings, departs from it.
CREATE TABLE own_book (
    ledger    text             NOT NULL,
    account   text COLLATE "C" NOT NULL,
    asset     text COLLATE "C" NOT NULL,
    available bigint           NOT NULL,
    locked    bigint           NOT NULL,
    PRIMARY KEY (ledger, account, asset)
) WITH (fillfactor = 50); -- updated every day
CREATE TABLE own_book_place (
    ledger text PRIMARY KEY,
    place  text NOT NULL           -- cursor of the last fact in it
);

-- Legs of our settlements that a ledger has ended and whose settlement has not ended yet.
CREATE TABLE own_leg (
    ledger     text   NOT NULL,
    contract   uuid   NOT NULL,
    settlement uuid   NOT NULL,
    asset      text   NOT NULL,
    quantity   bigint NOT NULL,
    executed   boolean NOT NULL,
    ended_at   bigint NOT NULL,    -- ledger time
    PRIMARY KEY (ledger, contract)
);

-- The last reconciliation of each ledger.
CREATE TABLE reconciliation (
    ledger        text   PRIMARY KEY,
    business_date date   NOT NULL,
    started_at    bigint NOT NULL,
    ended_at      bigint NOT NULL,
    as_of         text   NOT NULL,  -- the ledger's place that it compared
    holdings      bigint NOT NULL,  -- compared one by one
    facts         bigint NOT NULL,  -- read since the one before
    totals        text   NOT NULL   -- JSON: per asset issued, held, told
);

-- What did not agree. Open until a run finds that it does; never removed.
CREATE TABLE reconciliation_break (
    number        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ledger        text   NOT NULL,
    asset         text   NOT NULL,  -- empty: of the whole ledger
    account       text   NOT NULL,  -- empty: of the asset in all
    kind          text   NOT NULL,
    expected      numeric NOT NULL, -- smallest units; numeric: sums of what is wrong may be anything
    found         numeric NOT NULL,
    what          text   NOT NULL,
    first_seen_at bigint NOT NULL,
    last_seen_at  bigint NOT NULL,
    closed_at     bigint
);
CREATE UNIQUE INDEX reconciliation_break_open
    ON reconciliation_break (ledger, asset, account, kind) WHERE closed_at IS NULL;
