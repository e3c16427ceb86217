-- The life of an instruction after it was taken in: cancelled by its parties.

-- Which message it was; until now there was one kind.
ALTER TABLE inbound ADD COLUMN definition text NOT NULL DEFAULT 'sese.023.001.11';
ALTER TABLE inbound ALTER COLUMN definition DROP DEFAULT;

-- `ended` is true of refused instructions as well.
ALTER TABLE instruction ADD COLUMN cancelled boolean NOT NULL DEFAULT false;

-- Requests (sese.020) to cancel a matched instruction that have no final answer yet.
CREATE TABLE cancellation (
    instruction uuid NOT NULL,
    message_id  text NOT NULL,     -- BizMsgIdr of the request
    pair        uuid NOT NULL,
    header      text NOT NULL,     -- JSON of the business header: what the answer relates to
    PRIMARY KEY (instruction, message_id)
);
CREATE INDEX cancellation_pair ON cancellation (pair);
