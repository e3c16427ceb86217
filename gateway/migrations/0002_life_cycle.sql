-- The life of an instruction after it was taken in: cancelled, held, released, alleged.

-- Which message it was; until now there was one kind. The default stays: replicas of the release
-- before go on writing while this one is rolled out.
ALTER TABLE inbound ADD COLUMN definition text NOT NULL DEFAULT 'sese.023.001.11';

COMMENT ON COLUMN instruction.content IS 'JSON of protocols SettlementInstruction, with its hold as it is now';

-- `ended` is true of refused instructions as well.
ALTER TABLE instruction ADD COLUMN cancelled boolean NOT NULL DEFAULT false;

-- Told to the counterparty that it names (sese.028), which is told the end as well (sese.029).
ALTER TABLE instruction ADD COLUMN alleged boolean NOT NULL DEFAULT false;

-- Requests (sese.020) to cancel a matched instruction that have no final answer yet.
CREATE TABLE cancellation (
    instruction uuid NOT NULL,
    message_id  text NOT NULL,     -- BizMsgIdr of the request
    pair        uuid NOT NULL,
    header      text NOT NULL,     -- JSON of the business header: what the answer relates to
    PRIMARY KEY (instruction, message_id)
);
CREATE INDEX cancellation_pair ON cancellation (pair);

-- Every request about an instruction (sese.020, sese.030): part of its conversation for good.
CREATE TABLE request (
    instruction uuid NOT NULL,
    message_id  text NOT NULL,     -- BizMsgIdr; whose it is, the instruction says
    header      text NOT NULL,     -- JSON of the business header: what the answer relates to
    PRIMARY KEY (instruction, message_id)
);

-- What was said in answer to a message, or of an agreed swap. Four bytes for each: a header is
-- long, and two that share a hash are told apart by the text itself.
CREATE INDEX mailbox_subject ON mailbox (hashtext(coalesce(related, settlement::text)));
