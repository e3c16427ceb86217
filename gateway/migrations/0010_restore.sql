-- Restores that may lack journal records (design of the lock protocols, rule 17).

-- Two restores of one backup begin epochs of one number: the mark tells them apart, and with them the
-- replicas that were started before the second.
ALTER TABLE epoch ADD COLUMN mark uuid NOT NULL DEFAULT gen_random_uuid();

-- One row per declared restore. From `begun_at` to `done_at` gateways read the ledgers for locks that
-- the journal has lost; until `done_at` nothing new is opened.
CREATE TABLE restore (
    epoch       integer PRIMARY KEY,
    declared_at timestamptz NOT NULL DEFAULT now(),
    begun_at    timestamptz,
    done_at     timestamptz
);

-- Settlements that ledgers knew and the journal did not: taken up as the ledgers had them. `legs`
-- tells what they move; `pair` is the pair of instructions that turned out to be theirs.
CREATE TABLE found (
    settlement uuid PRIMARY KEY,
    epoch      integer NOT NULL,
    legs       bytea NOT NULL,
    pair       uuid
);
CREATE INDEX found_unclaimed ON found (legs) WHERE pair IS NULL;

-- What operators say that a frozen settlement's lost decision was. Two of them with one evidence
-- resolve it; what each said last is kept.
CREATE TABLE resolution (
    settlement uuid NOT NULL,
    operator   text NOT NULL,
    decision   text NOT NULL,
    evidence   text NOT NULL,
    said_at    bigint NOT NULL,
    PRIMARY KEY (settlement, operator)
);
