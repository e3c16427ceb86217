-- The cash leg in messages: payment orders of members, and what is told of locks that last.

-- Payment orders (pacs.009), accepted. OPEN: it is to be paid, or is being paid; then SETTLED,
-- REJECTED or RECALLED, once. Which instruction it pays its references say, whichever comes first.
CREATE TABLE payment (
    payment        uuid PRIMARY KEY,
    member         text NOT NULL,
    message_id     text NOT NULL,     -- BizMsgIdr
    entered_at     bigint NOT NULL,
    instruction_id text,
    end_to_end_id  text NOT NULL,
    uetr           text,
    swap_id        text,
    state          text NOT NULL DEFAULT 'OPEN'
                   CHECK (state IN ('OPEN', 'SETTLED', 'REJECTED', 'RECALLED')),
    pair           uuid,              -- that it pays, from the first attempt on
    header         text NOT NULL,     -- JSON of the business header: what replies relate to
    content        text NOT NULL      -- JSON of protocols PaymentOrder
);
-- A UETR names one payment, for ever (ISO 20022; UUID v4).
CREATE UNIQUE INDEX payment_uetr ON payment (member, uetr) WHERE uetr IS NOT NULL;
-- Nearly every pair of a member with a power of attorney asks, and finds nothing.
CREATE INDEX payment_open ON payment (member) WHERE state = 'OPEN';
CREATE INDEX payment_message ON payment (member, message_id);
CREATE INDEX payment_pair ON payment (pair) WHERE pair IS NOT NULL;

-- Liquidity transfers (camt.050), accepted: moved on the ledger under the sender's mandate, by
-- whichever replica comes first (their ids make it once), then answered.
CREATE TABLE liquidity_transfer (
    transfer       uuid PRIMARY KEY,
    member         text NOT NULL,
    transfer_id    text,              -- the sender's reference
    ledger         text NOT NULL,
    debit_account  text NOT NULL,
    credit_account text NOT NULL,
    asset          text NOT NULL,
    quantity       bigint NOT NULL,   -- in the smallest unit of the asset
    header         text NOT NULL,     -- JSON of the business header: what the receipt relates to
    content        text NOT NULL,     -- JSON of protocols LiquidityTransfer
    answered       boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX liquidity_transfer_reference ON liquidity_transfer (member, transfer_id);
CREATE INDEX liquidity_transfer_open ON liquidity_transfer (transfer) WHERE NOT answered;

-- States of the locks of an attempt that lasted, and that a member was told of.
CREATE TABLE lock_advice (
    settlement uuid NOT NULL,
    member     text NOT NULL,
    stage      text NOT NULL,     -- gateway.lasting.topic
    PRIMARY KEY (settlement, member, stage)
);

-- Secrets that their holders have handed over, sealed under the vault's master secret (AES-256-GCM):
-- any replica can open them, the database alone cannot.
CREATE TABLE handed_secret (
    settlement uuid PRIMARY KEY,
    sealed     bytea NOT NULL
);

-- Hashes of secrets that parties hold, each used by one attempt, ever: whoever has seen the preimage
-- once could claim a second time.
CREATE TABLE party_hash (
    digest     bytea PRIMARY KEY,
    settlement uuid NOT NULL
);

-- What members were last told of the system (admi.004): of a ledger's business day, of its trust.
CREATE TABLE system_state (
    subject text PRIMARY KEY,
    state   text NOT NULL
);
