-- The bare limit: the same DvP as one stored procedure over two books in one database. No gateway,
-- no second ledger, no message, no signature: what a settlement costs PostgreSQL at the least.

CREATE TABLE balances (
    account   text   NOT NULL,
    asset     text   NOT NULL,
    available bigint NOT NULL CHECK (available >= 0),
    locked    bigint NOT NULL CHECK (locked >= 0),
    PRIMARY KEY (account, asset)
) WITH (fillfactor = 50); -- updated all the time: room for HOT updates, as on the ledgers

CREATE TABLE contracts (
    id         uuid   PRIMARY KEY,
    settlement uuid   NOT NULL,
    payer      text   NOT NULL,
    payee      text   NOT NULL,
    asset      text   NOT NULL,
    quantity   bigint NOT NULL,
    digest     bytea  NOT NULL,
    status     text   NOT NULL,
    key        bytea
) WITH (fillfactor = 45);

CREATE TABLE postings (
    number   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    contract uuid   NOT NULL,
    entry    text   NOT NULL,
    debit    text   NOT NULL,
    credit   text   NOT NULL,
    quantity bigint NOT NULL
);

-- What the bench checks at the end: nothing was made, nothing lost, nothing is left locked.
CREATE VIEW sums AS
    SELECT asset, count(*) AS accounts, sum(available + locked) AS total, sum(locked) AS locked
    FROM balances GROUP BY asset;

-- One leg locked: from available to locked, the contract, the posting.
CREATE FUNCTION lock_leg(
    contract uuid, settlement uuid, payer text, payee text, asset text, quantity bigint,
    digest bytea
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE balances b SET available = b.available - lock_leg.quantity,
                          locked = b.locked + lock_leg.quantity
    WHERE b.account = payer AND b.asset = lock_leg.asset;
    INSERT INTO contracts VALUES
        (contract, settlement, payer, payee, asset, quantity, digest, 'LOCKED', NULL);
    INSERT INTO postings (contract, entry, debit, credit, quantity)
    VALUES (contract, 'lock', payer, payer, quantity);
END $$;

-- One leg executed with its key: from the payer's locked to the payee's available.
CREATE FUNCTION execute_leg(contract uuid, opening bytea) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    held contracts%ROWTYPE;
BEGIN
    UPDATE contracts c SET status = 'EXECUTED', key = opening
    WHERE c.id = contract AND c.status = 'LOCKED' AND c.digest = sha256(opening)
    RETURNING * INTO STRICT held;
    UPDATE balances b SET locked = b.locked - held.quantity
    WHERE b.account = held.payer AND b.asset = held.asset;
    UPDATE balances b SET available = b.available + held.quantity
    WHERE b.account = held.payee AND b.asset = held.asset;
    INSERT INTO postings (contract, entry, debit, credit, quantity)
    VALUES (contract, 'execute', held.payer, held.payee, held.quantity);
END $$;

-- The whole settlement. The four balances are locked in one order, so that nobody waits in a circle.
CREATE FUNCTION settle_dvp(
    settlement uuid, delivery uuid, payment uuid,
    security text, quantity bigint, deliverer text, receiver text,
    currency text, amount bigint, receiver_cash text, deliverer_cash text,
    opening bytea
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM balances b
    WHERE (b.account, b.asset) IN ((deliverer, security), (receiver, security),
                                   (receiver_cash, currency), (deliverer_cash, currency))
    ORDER BY b.account, b.asset FOR UPDATE;
    PERFORM lock_leg(
        delivery, settlement, deliverer, receiver, security, quantity, sha256(opening));
    PERFORM lock_leg(
        payment, settlement, receiver_cash, deliverer_cash, currency, amount, sha256(opening));
    PERFORM execute_leg(delivery, opening);
    PERFORM execute_leg(payment, opening);
END $$;
