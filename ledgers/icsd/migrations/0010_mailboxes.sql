-- Mailboxes, webhooks and statements of a registry's members, by BIC: the tables of a gateway
-- (`gateway/migrations`), because the same code works on both. What 0002 had in their place was
-- part of no release.

DROP TABLE mailbox, mailbox_reached;

-- Statements find by it whose message a posting came from.
CREATE INDEX messages_id ON messages (id);

CREATE TABLE mailbox_head (
    member       text PRIMARY KEY,
    last         bigint NOT NULL DEFAULT 0,
    acknowledged bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE TABLE mailbox (
    member     text NOT NULL,
    sequence   bigint NOT NULL,
    id         uuid NOT NULL,
    definition text NOT NULL,
    related    text,               -- header of the message that it answers (JSON)
    created_at bigint NOT NULL,
    settlement uuid,               -- none here
    content    text NOT NULL,      -- JSON of the typed message; the wire form is made at delivery
    PRIMARY KEY (member, sequence)
);

CREATE TABLE webhook (
    member        text PRIMARY KEY,
    url           text NOT NULL,
    secret        bytea NOT NULL,          -- sealed
    set_at        bigint NOT NULL,
    failures      integer NOT NULL DEFAULT 0, -- in a row
    fault         text,                    -- of the last one
    next_at       timestamptz NOT NULL DEFAULT '-infinity',
    gone          boolean NOT NULL DEFAULT false, -- the receiver has said 410: nothing more is sent
    claimed_by    integer,
    claimed_until timestamptz NOT NULL DEFAULT '-infinity'
);

CREATE TABLE statement (
    statement     uuid PRIMARY KEY,
    member        text    NOT NULL,
    ledger        text    NOT NULL,
    account       text    NOT NULL,
    kind          text    NOT NULL, -- holdings, movements
    asset         text    NOT NULL, -- empty here
    frequency     text    NOT NULL, -- DAIL, INDA
    number        integer NOT NULL,
    business_date date    NOT NULL,
    opening_date  date    NOT NULL, -- the business day that ended where it begins
    from_cursor   text    NOT NULL, -- places in the chain: after this one,
    to_cursor     text    NOT NULL, -- up to and with this one
    from_at       bigint  NOT NULL,
    to_at         bigint  NOT NULL,
    closing       bigint,           -- none here
    pages         integer NOT NULL,
    UNIQUE (ledger, account, kind, asset, frequency, number)
);
CREATE UNIQUE INDEX statement_daily ON statement (ledger, account, kind, asset, business_date)
    WHERE frequency = 'DAIL';

-- Pages of a statement that is being made: they go to the mailbox together.
CREATE TABLE statement_page (
    statement uuid    NOT NULL,
    page      integer NOT NULL,
    id        uuid    NOT NULL, -- of the message
    made_at   bigint  NOT NULL,
    content   text    NOT NULL, -- JSON of protocols StatementPage
    PRIMARY KEY (statement, page)
);

-- Business days whose daily statements were all sent.
CREATE TABLE statement_day (
    ledger        text   PRIMARY KEY,
    business_date date   NOT NULL,
    closed_at     bigint NOT NULL
);
