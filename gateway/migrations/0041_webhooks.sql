-- Where members want their mailbox delivered to. How far that is, the mailbox's `acknowledged` says.
CREATE TABLE webhook (
    member        text PRIMARY KEY,
    url           text NOT NULL,
    secret        bytea NOT NULL,          -- sealed with a key of the vault's master secret
    set_at        bigint NOT NULL,         -- tells an answer to an older setting from one to this
    failures      integer NOT NULL DEFAULT 0, -- in a row
    fault         text,                    -- of the last one
    next_at       timestamptz NOT NULL DEFAULT '-infinity',
    gone          boolean NOT NULL DEFAULT false, -- the receiver has said 410: nothing more is sent
    -- One replica delivers at a time, so that the order is kept.
    claimed_by    integer,
    claimed_until timestamptz NOT NULL DEFAULT '-infinity'
);
