-- The gateway's own store: journal, messages in, mailboxes out. Nothing of any ledger is here.

-- A restore that may lack records begins a new epoch; appends of an older one are refused.
CREATE TABLE epoch (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch integer NOT NULL
);
INSERT INTO epoch (epoch) VALUES (1);

-- The gateway processes that share this database. One that is not seen for a while is taken over.
CREATE TABLE replica (
    replica integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name    text NOT NULL UNIQUE,
    seen_at timestamptz NOT NULL
);

-- One row per attempt to settle a swap. `replica` works on it; NULL once it has ended.
CREATE TABLE settlement (
    settlement uuid PRIMARY KEY,
    created_at bigint NOT NULL,
    digest     bytea,              -- of the terms as posted: "the same terms again" (JSON intake)
    pair       uuid,               -- of the matched instructions, where it came from messages
    attempt    integer,            -- of that pair, from 1
    replica    integer
);
CREATE INDEX settlement_open ON settlement (replica) WHERE replica IS NOT NULL;
-- Of two replicas that both think that a pair is theirs to try again, one opens the attempt.
CREATE UNIQUE INDEX settlement_attempt ON settlement (pair, attempt) WHERE pair IS NOT NULL;

-- Who may see it, and the order of everyone's list (settlement ids of the gateway sort by time).
CREATE TABLE party (
    member     text NOT NULL,
    settlement uuid NOT NULL,
    PRIMARY KEY (member, settlement)
);

-- The truth: requests and decisions, with the facts known when they were written. Append-only.
-- A lost row between two others would let both decisions in; the partial index does not.
CREATE TABLE journal (
    settlement uuid NOT NULL,
    sequence   integer NOT NULL,
    epoch      integer NOT NULL,
    decision   text,
    phase      text NOT NULL,      -- after these events, for lists
    events     text NOT NULL,      -- JSON array of htlc.events
    PRIMARY KEY (settlement, sequence)
);
CREATE UNIQUE INDEX journal_one_decision ON journal (settlement) WHERE decision IS NOT NULL;

-- Every message taken in, byte for byte, with the answer that its sender got.
CREATE TABLE inbound (
    member      text NOT NULL,     -- Fr
    message_id  text NOT NULL,     -- BizMsgIdr
    digest      bytea NOT NULL,    -- of the canonical Document: "the same content"
    received_at bigint NOT NULL,
    id          uuid NOT NULL,     -- what the sender was told
    raw         bytea NOT NULL,
    PRIMARY KEY (member, message_id)
) WITH (toast_tuple_target = 8160);
-- A message of 2.5 kB is read back rarely and written always: no compression, and inline.
ALTER TABLE inbound ALTER COLUMN raw SET STORAGE EXTERNAL;

-- One side of a trade, accepted. `pair` once it is matched; `ended` once it is refused or over.
CREATE TABLE instruction (
    instruction    uuid PRIMARY KEY,
    member         text NOT NULL,
    transaction_id text NOT NULL,
    message_id     text NOT NULL,
    entered_at     bigint NOT NULL,
    key_a          bytea NOT NULL, -- protocols.matching.keys
    key_b          bytea NOT NULL,
    pair           uuid,
    ended          boolean NOT NULL,
    advised        text,           -- the reason code it was told while unmatched
    header         text NOT NULL,  -- JSON of the business header: what replies relate to
    content        text NOT NULL,  -- JSON of protocols SettlementInstruction
    UNIQUE (member, transaction_id)
);
CREATE INDEX instruction_key_a ON instruction (key_a) WHERE pair IS NULL AND NOT ended;
CREATE INDEX instruction_key_b ON instruction (key_b) WHERE pair IS NULL AND NOT ended;
CREATE INDEX instruction_pair ON instruction (pair) WHERE pair IS NOT NULL;

-- Matched pairs that wait: for their settlement date, or for another attempt.
CREATE TABLE pending_pair (
    pair     uuid PRIMARY KEY,
    due_at   bigint NOT NULL,      -- try then at the latest
    attempts integer NOT NULL,
    advised  text NOT NULL,        -- the reason code both sides were last told
    replica  integer NOT NULL
);

-- Outbound messages, numbered without a gap per member: a gap would be a loss.
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
    related    text,               -- BizMsgIdr of the message it answers
    created_at bigint NOT NULL,
    settlement uuid,
    content    text NOT NULL,      -- JSON of the typed message; the wire form is made at delivery
    PRIMARY KEY (member, sequence)
);

-- What each ledger last told of itself: reference data must not depend on who is up at the moment.
CREATE TABLE ledger (
    ledger      text PRIMARY KEY,
    description text NOT NULL      -- JSON of ledgers.port.Description
);

-- `Idempotency-Key` of JSON posts: the same key with the same body gets the same answer.
CREATE TABLE idempotency (
    member text NOT NULL,
    key    text NOT NULL,
    digest bytea NOT NULL,
    status integer NOT NULL,
    answer text NOT NULL,
    PRIMARY KEY (member, key)
);
