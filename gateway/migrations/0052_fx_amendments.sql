-- Amendments (fxtr.015) of a matched trade that wait for the counterparty's own: of each side the last.
CREATE TABLE fx_amendment (
    instruction uuid PRIMARY KEY,
    entered_at  bigint NOT NULL,
    header      text NOT NULL,     -- JSON of the business header: what the answer relates to
    content     text NOT NULL      -- JSON of protocols FxAmendment
);
