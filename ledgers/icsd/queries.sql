-- All SQL of a registry node, except what its readers share with the PostgreSQL ledger
-- (`ledgers/queries.sql`). `migrations/` holds the tables and why they are as they are.

-- name: create_head
INSERT INTO head (network, registry, place, chain_hash) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING;

-- name: head
SELECT network, registry, step, height, final, place, log, position, chain, chain_hash,
       base, base_at, base_cursor, votes_above
FROM head;

-- name: said
-- What a step says of blocks and to others. Another process may have written since this one read:
-- then the step would become null, which the column refuses, and with it everything.
WITH
fenced AS (
    UPDATE head SET step = CASE step WHEN $1::bigint - 1 THEN $1 END,
        height = $2, final = $3, log = $4, position = $5, chain = $6, chain_hash = $7, place = $8,
        votes_above = $9
),
archived AS (
    INSERT INTO network_blocks (height, hash, body, log, position)
    SELECT height, hash, body, log, position FROM unnest($10::network_blocks[])
),
voted AS (
    INSERT INTO votes (epoch, height, body) SELECT epoch, height, body FROM unnest($11::votes[])
),
certified AS (
    INSERT INTO certificates (height, body)
    SELECT height, body FROM unnest($12::certificates[]) ON CONFLICT (height) DO NOTHING
),
proved AS (
    INSERT INTO evidence (registry, offence, epoch, place, body)
    SELECT registry, offence, epoch, place, body FROM unnest($13::evidence[])
    ON CONFLICT DO NOTHING
),
put_bundle AS (
    INSERT INTO outbox (sequence, body) SELECT sequence, body FROM unnest($14::outbox[])
)

-- name: write_said
-- A step that changes no row of the book: a vote waits for most of them.
-- with: said
SELECT;

-- name: write_step
-- All that one step of the node changed, in one statement: so it is there or it is not, for one
-- round trip and one flush. Rows come as they are now, so nothing depends on what was there.
-- with: said
, sent AS (
    DELETE FROM outbox WHERE sequence <= $15
),
put_accounts AS (
    INSERT INTO accounts (id, owner, blocked, home)
    SELECT id, owner, blocked, home FROM unnest($16::accounts[])
    ON CONFLICT (id) DO UPDATE SET blocked = excluded.blocked
),
put_instruments AS (
    INSERT INTO instruments (asset, name, scale, quantity_type, issuer, counter)
    SELECT asset, name, scale, quantity_type, issuer, counter FROM unnest($17::instruments[])
    ON CONFLICT (asset) DO NOTHING
),
put_mandates AS (
    INSERT INTO mandates (account, operator, ceiling, until)
    SELECT account, operator, ceiling, until FROM unnest($18::mandates[])
    ON CONFLICT (account, operator)
    DO UPDATE SET ceiling = excluded.ceiling, until = excluded.until
),
put_balances AS (
    INSERT INTO balances (account, asset, available, locked)
    SELECT account, asset, available, locked FROM unnest($19::balances[])
    ON CONFLICT (account, asset)
    DO UPDATE SET available = excluded.available, locked = excluded.locked
),
put_omnibus AS (
    INSERT INTO omnibus (asset, registry, quantity)
    SELECT asset, registry, quantity FROM unnest($20::omnibus[])
    ON CONFLICT (asset, registry) DO UPDATE SET quantity = excluded.quantity
),
put_contracts AS (
    INSERT INTO contracts (id, settlement, leg, payer, payee, asset, quantity,
        execution_function, execution_digest, cancellation_function, cancellation_digest,
        lock_by, expires_at, locked_at, status, ended_at, key)
    SELECT id, settlement, leg, payer, payee, asset, quantity,
        execution_function, execution_digest, cancellation_function, cancellation_digest,
        lock_by, expires_at, locked_at, status, ended_at, key
    FROM unnest($21::contracts[])
    ON CONFLICT (id) DO UPDATE
    SET status = excluded.status, ended_at = excluded.ended_at, key = excluded.key
),
put_operations AS ( -- each is done once, and becomes final once
    INSERT INTO operations (id, digest, height)
    SELECT id, digest, height FROM unnest($22::operations[])
),
put_sequences AS (
    INSERT INTO sequences (registry, sequence, hash)
    SELECT registry, sequence, hash FROM unnest($23::sequences[])
    ON CONFLICT (registry) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash
),
gone AS (
    DELETE FROM mandates
    USING unnest($24::text[], $25::text[]) AS g (account, operator)
    WHERE mandates.account = g.account AND mandates.operator = g.operator
),
sealed AS (
    INSERT INTO blocks (height, previous, root, count, at, hash, signature)
    SELECT height, previous, root, count, at, hash, signature FROM unnest($26::blocks[])
),
posted AS (
    INSERT INTO postings (height, position, leaf)
    SELECT height, position, leaf FROM unnest($27::postings[])
)
INSERT INTO movements (account, height, positions)
SELECT account, height, positions FROM unnest($28::movements[]);

-- name: load_outbox
SELECT body FROM outbox ORDER BY sequence;

-- name: load_accounts
SELECT id, owner, blocked, home FROM accounts;

-- name: load_instruments
SELECT asset, name, scale, quantity_type, issuer, counter FROM instruments;

-- name: load_mandates
SELECT account, operator, ceiling, until FROM mandates;

-- name: load_balances
SELECT account, asset, available, locked FROM balances;

-- name: load_omnibus
SELECT asset, registry, quantity FROM omnibus;

-- name: load_contracts
SELECT id, settlement, leg, payer, payee, asset, quantity, execution_function, execution_digest,
       cancellation_function, cancellation_digest, lock_by, expires_at, locked_at, status, ended_at,
       key
FROM contracts;

-- name: load_operations
SELECT id, digest, height FROM operations;

-- name: load_sequences
SELECT registry, sequence, hash FROM sequences;

-- name: load_votes
SELECT body FROM votes WHERE height > $1 ORDER BY height, epoch;

-- name: load_unfinal
-- The blocks that are not in the book yet, oldest first.
SELECT height, body, position FROM network_blocks WHERE height > $1 ORDER BY height;

-- name: read_network_blocks
SELECT height, body FROM network_blocks WHERE height > $1 ORDER BY height LIMIT $2;

-- name: read_archive
-- Whole blocks until $3 bytes are reached, one at least; none that is not certified.
SELECT height, body, log, position
FROM (SELECT *, sum(length(body)) OVER (ORDER BY height) - length(body) AS before
      FROM (SELECT * FROM network_blocks WHERE height > $1
                AND height <= (SELECT max(height) FROM certificates)
            ORDER BY height LIMIT $2) AS page) AS counted
WHERE before < $3 ORDER BY height;

-- name: read_recoveries
SELECT body FROM recoveries WHERE kind = $1 ORDER BY number;

-- name: place_of
SELECT log, position FROM network_blocks WHERE height = $1;

-- name: undo_blocks
WITH undone AS (
    DELETE FROM network_blocks WHERE height >= $1
),
uncertified AS (
    DELETE FROM certificates WHERE height >= $1
)
UPDATE head SET step = step + 1, height = $1 - 1, position = $2;

-- name: begin_epoch
-- What was above the start of an epoch that people began was told to nobody: it is undone. The new
-- log is read from its beginning, and its first cut carries the certificate of the block below.
WITH undone AS (
    DELETE FROM network_blocks WHERE height >= $1
),
uncertified AS (
    DELETE FROM certificates WHERE height >= $1
),
begun AS (
    INSERT INTO recoveries (kind, number, body) VALUES ('begun', $2, $3)
),
certified AS (
    INSERT INTO certificates (height, body) SELECT $1 - 1, $4::bytea WHERE $4 IS NOT NULL
    ON CONFLICT (height) DO NOTHING
)
UPDATE head SET step = step + 1, height = $1 - 1, log = $2, position = 0;

-- name: read_certificates
SELECT body FROM certificates WHERE height = ANY ($1::bigint[]) ORDER BY height;

-- name: last_certificate
SELECT body FROM certificates ORDER BY height DESC LIMIT 1;

-- name: read_evidence
SELECT body FROM evidence ORDER BY found_at;

-- name: end_epoch
-- The step moves, so that a node which still runs cannot write its next vote.
WITH fenced AS (UPDATE head SET step = step + 1)
INSERT INTO recoveries (kind, number, body) VALUES ('stop', $1, $2)
ON CONFLICT (kind, number) DO UPDATE SET body = recoveries.body RETURNING body;

-- name: agree
-- What was said first stands: the same row comes back whatever is asked later.
INSERT INTO recoveries (kind, number, body) VALUES ($1, $2, $3)
ON CONFLICT (kind, number) DO UPDATE SET body = recoveries.body RETURNING body;

-- name: read_conservation
SELECT i.asset,
       -coalesce(sum(b.available) FILTER (WHERE b.account = i.counter), 0)::bigint AS issued,
       coalesce(sum(b.available) FILTER (WHERE b.account <> i.counter), 0)::bigint AS available,
       coalesce(sum(b.locked) FILTER (WHERE b.account <> i.counter), 0)::bigint AS locked,
       coalesce((SELECT height::text || '.' || (count - 1)::text
                 FROM blocks ORDER BY height DESC LIMIT 1), '') AS as_of
FROM instruments i LEFT JOIN balances b USING (asset)
GROUP BY i.asset ORDER BY i.asset;

-- name: replace_bundle
UPDATE outbox SET body = $2 WHERE sequence = $1;

-- name: forget_bundles
DELETE FROM outbox WHERE sequence > $1;

-- name: put_lineage
INSERT INTO lineage (number, body) VALUES ($1, $2) ON CONFLICT (number) DO NOTHING;

-- name: read_lineage
SELECT body FROM lineage ORDER BY number;

-- name: read_chain_end
SELECT height::text || '.' || (count - 1)::text FROM blocks ORDER BY height DESC LIMIT 1;

-- name: enter_snapshot
-- Only where nothing was written before.
UPDATE head SET step = 1, height = $1, final = $2, log = $3, position = $4, chain = $5,
    chain_hash = $6, place = $7, base = $2, base_at = $8, base_cursor = $9
WHERE step = 0;

-- name: put_archived
INSERT INTO network_blocks (height, hash, body, log, position) VALUES ($1, $2, $3, $4, $5);

-- name: put_certificate
INSERT INTO certificates (height, body) VALUES ($1, $2);

-- name: put_begun
INSERT INTO recoveries (kind, number, body) VALUES ('begun', $1, $2);

-- name: release
UPDATE head SET step = step + 1, votes_above = $1 WHERE votes_above IS NULL RETURNING step;
