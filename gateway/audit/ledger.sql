-- What an audit reads of a ledger's database, in one snapshot and in the order of its indexes.

-- name: blocks
-- Whole blocks after $1, $2 at the most, until $3 postings are reached, as the blocks count them.
SELECT height, previous, root, count, at, hash, signature
FROM (SELECT *, sum(count) OVER (ORDER BY height) - count AS before
      FROM (SELECT * FROM blocks WHERE height > $1 ORDER BY height LIMIT $2) AS page) AS counted
WHERE before < $3 ORDER BY height;

-- name: postings
SELECT height, position, leaf FROM postings
WHERE height > $1 AND height <= $2 ORDER BY height, position;

-- name: postings_after
SELECT height, position FROM postings WHERE height > $1 ORDER BY height, position;

-- name: head
SELECT ledger, height, hash, clock, administration FROM head;

-- name: counters
SELECT asset, counter FROM instruments;

-- name: volume
SELECT coalesce(sum(count), 0)::bigint FROM blocks;

-- name: contracts
SELECT id, settlement, leg, payer, payee, asset, quantity, execution_function, execution_digest,
       cancellation_function, cancellation_digest, lock_by, expires_at, locked_at, status, ended_at,
       key
FROM contracts WHERE id = ANY ($1::uuid[]);

-- name: operations
SELECT id, digest FROM operations WHERE id = ANY ($1::text[]);

-- name: counts
SELECT (SELECT count(*) FROM contracts) AS contracts, (SELECT count(*) FROM operations) AS operations;

-- name: balances
SELECT account, asset, counter, available, locked FROM balances;

-- name: conservation
-- Sums of what is not negative, and each negative row of a holder by itself.
SELECT asset, counter, NULL AS account, sum(available)::numeric AS available,
       sum(locked)::numeric AS locked
FROM balances WHERE counter OR (available >= 0 AND locked >= 0) GROUP BY asset, counter
UNION ALL
SELECT asset, counter, account, available, locked FROM balances
WHERE NOT counter AND (available < 0 OR locked < 0);

-- name: statements
SELECT account, sum(cardinality(positions))::bigint AS postings FROM movements GROUP BY account;

-- name: administration
SELECT number, at, by, act::text AS act, previous, hash FROM administration ORDER BY number;

-- name: repeated
-- Only asked when the counts differ: reads every posting.
SELECT class, id, array_agg(op ORDER BY height, position) AS ops,
       array_agg(height ORDER BY height, position) AS heights,
       array_agg(position ORDER BY height, position) AS positions
FROM (SELECT height, position, op, id,
             CASE WHEN op IN ('execute', 'cancel', 'refund') THEN 'end'
                  WHEN op = 'lock' THEN 'lock' ELSE 'operation' END AS class
      FROM entries) AS classed
GROUP BY class, id HAVING count(*) > 1 ORDER BY min(height) LIMIT 100;

-- name: unposted_contracts
-- Only asked when the counts differ.
SELECT c.id::text FROM contracts c
WHERE NOT EXISTS (SELECT FROM entries e WHERE e.op = 'lock' AND e.id = c.id::text) LIMIT 100;

-- name: unposted_operations
SELECT o.id FROM operations o
WHERE NOT EXISTS (
    SELECT FROM entries e WHERE e.op IN ('issue', 'redeem', 'transfer') AND e.id = o.id
) LIMIT 100;

-- name: block_at
-- The blocks of one ledger time: where a contract that ended then has its posting.
SELECT height, previous, root, count, at, hash, signature FROM blocks WHERE at = $1 ORDER BY height;
