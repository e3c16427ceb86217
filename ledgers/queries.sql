-- All SQL of the PostgreSQL ledger. Arrays in, rows out; one statement serves a whole batch.
-- `migrations/` holds the tables and why they are as they are.

-- name: begin
-- Three statements in one round trip (the simple protocol takes no parameters). The lock on the one
-- row of `head` makes batches serial; what is read after it is as the batch before left it, because
-- each statement of a READ COMMITTED transaction has a snapshot of its own.
BEGIN ISOLATION LEVEL READ COMMITTED; SELECT FROM head FOR UPDATE;

-- name: head
SELECT ledger, height, hash, clock, administration FROM head;

-- name: create_head
INSERT INTO head (ledger, hash, administration) VALUES ($1, $2, $2) ON CONFLICT DO NOTHING;

-- name: load_accounts
SELECT id, owner, blocked FROM accounts WHERE id = ANY ($1::text[]);

-- name: load_instruments
SELECT asset, name, scale, quantity_type, issuer, counter FROM instruments;

-- name: load_balances
SELECT account, asset, available, locked
FROM unnest($1::text[], $2::text[]) AS wanted (account, asset)
JOIN balances USING (account, asset);

-- name: load_mandates
SELECT account, operator, ceiling, until
FROM unnest($1::text[], $2::text[]) AS wanted (account, operator)
JOIN mandates USING (account, operator);

-- name: load_contracts
SELECT id, settlement, leg, payer, payee, asset, quantity, execution_function, execution_digest,
       cancellation_function, cancellation_digest, lock_by, expires_at, locked_at, status, ended_at,
       key
FROM contracts WHERE id = ANY ($1::uuid[]);

-- name: load_operations
SELECT id, digest FROM operations WHERE id = ANY ($1::text[]);

-- name: write_clock
-- The time alone, if nobody has written since the head was as given.
UPDATE head SET clock = $1 WHERE hash = $2 AND administration = $3 AND clock <= $1 RETURNING height;

-- name: write_batch
-- What a batch changed, all in one statement, as arrays of rows. Balances come as differences, one
-- per account however hot it is; a row that a batch makes and moves again arrives here only as it
-- ends up. The numbers of rows that were changed come back, to be compared with what was sent.
--
-- Everything hangs on `advanced`: whether the head is still as it was when the batch was judged, and
-- its time not later. An UPDATE that has waited for another one looks at the row as that has left it,
-- so of two replicas that were at the same block one finds the row and the other does nothing at all.
WITH
advanced AS (
    UPDATE head SET height = $6, hash = $11, clock = $10
    WHERE hash = $7 AND administration = $13 AND clock <= $10
    RETURNING 1
),
touched AS (
    SELECT account, asset, fresh, available, locked, positions FROM advanced, unnest($1::touched[])
),
debited AS (
    UPDATE balances AS b SET available = b.available + t.available, locked = b.locked + t.locked
    FROM touched AS t
    WHERE b.account = t.account AND b.asset = t.asset
      AND NOT t.fresh AND (t.available <> 0 OR t.locked <> 0)
    RETURNING 1
),
opened AS (
    INSERT INTO balances (account, asset, available, locked)
    SELECT account, asset, available, locked FROM touched WHERE fresh
),
moved AS (
    INSERT INTO movements (account, height, positions)
    SELECT account, $6, positions::int[] FROM touched WHERE positions IS NOT NULL
),
made AS (
    INSERT INTO contracts (id, settlement, leg, payer, payee, asset, quantity,
        execution_function, execution_digest, cancellation_function, cancellation_digest,
        lock_by, expires_at, locked_at, status, ended_at, key)
    SELECT id, settlement, leg, payer, payee, asset, quantity,
        execution_function, execution_digest, cancellation_function, cancellation_digest,
        lock_by, expires_at, locked_at, status, ended_at, key
    FROM advanced, unnest($2::contracts[])
),
ended AS (
    UPDATE contracts AS c SET status = e.status, ended_at = e.ended_at, key = e.key
    FROM advanced, unnest($3::ending[]) AS e
    WHERE c.id = e.id AND c.status = 'LOCKED'
    RETURNING 1
),
done AS (
    INSERT INTO operations (id, digest) SELECT id, digest FROM advanced, unnest($4::operations[])
),
posted AS (
    INSERT INTO postings (height, position, leaf)
    SELECT $6, number - 1, leaf
    FROM advanced, unnest($5::bytea[]) WITH ORDINALITY AS p (leaf, number)
),
sealed AS (
    INSERT INTO blocks (height, previous, root, count, at, hash, signature)
    SELECT $6, $7, $8, $9, $10, $11, $12 FROM advanced
)
SELECT (SELECT count(*) FROM advanced) AS advanced, (SELECT count(*) FROM debited) AS debited,
       (SELECT count(*) FROM ended) AS ended;

-- name: put_account
INSERT INTO accounts (id, owner, blocked) VALUES ($1, $2, $3)
ON CONFLICT (id) DO UPDATE SET blocked = excluded.blocked;

-- name: put_mandate
INSERT INTO mandates (account, operator, ceiling, until) VALUES ($1, $2, $3, $4)
ON CONFLICT (account, operator) DO UPDATE
SET ceiling = excluded.ceiling, until = excluded.until;

-- name: delete_mandate
DELETE FROM mandates WHERE account = $1 AND operator = $2;

-- name: put_instrument
WITH counter AS (
    INSERT INTO balances (account, asset, counter, available, locked) VALUES ($6, $1, true, 0, 0)
)
INSERT INTO instruments (asset, name, scale, quantity_type, issuer, counter)
VALUES ($1, $2, $3, $4, $5, $6);

-- name: put_record
INSERT INTO administration (at, by, act, previous, hash) VALUES ($1, $2, $3::text::jsonb, $4, $5);

-- name: write_administration
UPDATE head SET clock = $1, administration = $2;

-- name: read_accounts
SELECT id, owner, blocked FROM accounts
WHERE id > $1 AND ($2::text IS NULL OR owner = $2) ORDER BY id LIMIT $3;

-- name: read_account
SELECT id, owner, blocked FROM accounts WHERE id = $1;

-- name: read_balances
SELECT account, asset, available, locked FROM balances
WHERE account = ANY ($1::text[]) AND (available <> 0 OR locked <> 0) ORDER BY account, asset;

-- name: read_mandates
SELECT account, operator, ceiling, until FROM mandates
WHERE account = ANY ($1::text[]) ORDER BY account, operator;

-- name: read_blocks
-- Whole blocks, until $3 leaves are reached: one block at least, or a reader would stand still.
SELECT height, previous, root, count, at, hash, signature
FROM (SELECT *, sum(count) OVER (ORDER BY height) - count AS before
      FROM (SELECT * FROM blocks WHERE height > $1 ORDER BY height LIMIT $2) AS page) AS counted
WHERE before < $3 ORDER BY height;

-- name: read_leaves
SELECT height, leaf FROM postings WHERE height BETWEEN $1 AND $2 ORDER BY height, position;

-- name: read_postings
SELECT height, position, leaf FROM postings
WHERE (height, position) > ($1, $2::bigint) ORDER BY height, position LIMIT $3;

-- name: read_postings_of_owner
-- For each account the blocks from $1 on until they hold a page; $5 is what one block may hold, in
-- case all of the first one lies before the cursor. A posting between two own accounts comes once.
SELECT p.height, p.position, p.leaf
FROM (
    SELECT DISTINCT m.height, place.position
    FROM accounts a
    CROSS JOIN LATERAL (
        SELECT height, positions,
               sum(cardinality(positions)) OVER (ORDER BY height) - cardinality(positions) AS before
        FROM (SELECT height, positions FROM movements
              WHERE account = a.id AND height >= $1 ORDER BY height LIMIT $3::bigint + 1) AS page
    ) AS m
    CROSS JOIN LATERAL unnest(m.positions) AS place (position)
    WHERE a.owner = $4 AND m.before < $3 + $5::bigint AND (m.height, place.position) > ($1, $2::bigint)
    ORDER BY m.height, place.position LIMIT $3
) AS own
JOIN postings p USING (height, position) ORDER BY height, position;

-- name: read_holdings
-- A page of all balances, and as of which posting they are: one statement, so one snapshot. The row
-- of the last block is there also when there is no balance.
SELECT coalesce(b.height::text || '.' || (b.count - 1)::text, '') AS as_of,
       p.account, p.asset, p.available, p.locked
FROM (SELECT max(height) AS height FROM blocks) h LEFT JOIN blocks b USING (height)
LEFT JOIN LATERAL (
    SELECT account, asset, available, locked FROM balances
    WHERE (account, asset) > ($1, $2) ORDER BY account, asset LIMIT $3
) AS p ON true
ORDER BY p.account, p.asset;

-- name: read_holdings_of
-- The same of one account.
SELECT coalesce(b.height::text || '.' || (b.count - 1)::text, '') AS as_of,
       p.account, p.asset, p.available, p.locked
FROM (SELECT max(height) AS height FROM blocks) h LEFT JOIN blocks b USING (height)
LEFT JOIN LATERAL (
    SELECT account, asset, available, locked FROM balances
    WHERE account = $1 AND asset > $2 ORDER BY asset LIMIT $3
) AS p ON true
ORDER BY p.asset;

-- name: read_movements
-- The postings of one account after a place and up to another.
SELECT p.height, p.position, p.leaf
FROM (
    SELECT m.height, place.position
    FROM movements m CROSS JOIN LATERAL unnest(m.positions) AS place (position)
    WHERE m.account = $1 AND m.height BETWEEN $2 AND $4
      AND (m.height, place.position) > ($2, $3::bigint)
      AND (m.height, place.position) <= ($4, $5::bigint)
    ORDER BY m.height, place.position LIMIT $6
) AS own
JOIN postings p USING (height, position) ORDER BY height, position;

-- name: read_last_before
-- The last block before an instant. Ledger time never decreases, so the heights are searched by
-- halves: some twenty rows of a million. A registry that joined by a snapshot lacks the first ones.
WITH RECURSIVE search (low, high) AS (
    SELECT coalesce(min(height), 1) - 1, coalesce(max(height), 0) FROM blocks
    UNION ALL
    SELECT CASE WHEN b.at < $1 THEN b.height ELSE s.low END,
           CASE WHEN b.at < $1 THEN s.high ELSE b.height - 1 END
    FROM search s JOIN blocks b ON b.height = (s.low + s.high + 1) / 2
    WHERE s.low < s.high
)
SELECT b.height, b.count - 1 AS position
FROM search s JOIN blocks b ON b.height = s.low WHERE s.low = s.high;

-- name: read_conservation
SELECT i.asset,
       -coalesce(sum(b.available) FILTER (WHERE b.counter), 0)::bigint AS issued,
       coalesce(sum(b.available) FILTER (WHERE NOT b.counter), 0)::bigint AS available,
       coalesce(sum(b.locked) FILTER (WHERE NOT b.counter), 0)::bigint AS locked,
       coalesce((SELECT l.height::text || '.' || (l.count - 1)::text
                 FROM head h JOIN blocks l ON l.height = h.height), '') AS as_of
FROM instruments i LEFT JOIN balances b USING (asset)
GROUP BY i.asset ORDER BY i.asset;
