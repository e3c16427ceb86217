-- What an audit reads otherwise of the database of a registry's node, which holds the network's book
-- (`ledgers/icsd/migrations`). All else is as in ledger.sql.

-- name: head
-- Administration is in the network's own blocks, which a quorum signs, and not in a log of acts.
SELECT network AS ledger, chain AS height, chain_hash AS hash,
       coalesce((SELECT at FROM blocks ORDER BY height DESC LIMIT 1), 0) AS clock,
       decode(repeat('00', 32), 'hex') AS administration
FROM head;

-- name: administration
SELECT 0 AS number, 0::bigint AS at, '' AS by, '' AS act, ''::bytea AS previous, ''::bytea AS hash
WHERE false;

-- name: balances
SELECT account, asset, account IN (SELECT counter FROM instruments) AS counter, available, locked
FROM balances;

-- name: conservation
WITH marked AS (
    SELECT *, account IN (SELECT counter FROM instruments) AS counter FROM balances
)
SELECT asset, counter, NULL AS account, sum(available)::numeric AS available,
       sum(locked)::numeric AS locked
FROM marked WHERE counter OR (available >= 0 AND locked >= 0) GROUP BY asset, counter
UNION ALL
SELECT asset, counter, account, available, locked FROM marked
WHERE NOT counter AND (available < 0 OR locked < 0);

-- name: repeated
WITH entries AS (
    SELECT height, position, entry ->> 'op' AS op, entry ->> 'id' AS id
    FROM postings, LATERAL (SELECT convert_from(leaf, 'UTF8')::jsonb AS entry) AS decoded
)
SELECT class, id, array_agg(op ORDER BY height, position) AS ops,
       array_agg(height ORDER BY height, position) AS heights,
       array_agg(position ORDER BY height, position) AS positions
FROM (SELECT height, position, op, id,
             CASE WHEN op IN ('execute', 'cancel', 'refund') THEN 'end'
                  WHEN op = 'lock' THEN 'lock' ELSE 'operation' END AS class
      FROM entries) AS classed
GROUP BY class, id HAVING count(*) > 1 ORDER BY min(height) LIMIT 100;

-- name: unposted_contracts
WITH entries AS (
    SELECT entry ->> 'op' AS op, entry ->> 'id' AS id
    FROM postings, LATERAL (SELECT convert_from(leaf, 'UTF8')::jsonb AS entry) AS decoded
)
SELECT c.id::text FROM contracts c
WHERE NOT EXISTS (SELECT FROM entries e WHERE e.op = 'lock' AND e.id = c.id::text) LIMIT 100;

-- name: unposted_operations
WITH entries AS (
    SELECT entry ->> 'op' AS op, entry ->> 'id' AS id
    FROM postings, LATERAL (SELECT convert_from(leaf, 'UTF8')::jsonb AS entry) AS decoded
)
SELECT o.id FROM operations o
WHERE NOT EXISTS (
    SELECT FROM entries e WHERE e.op IN ('issue', 'redeem', 'transfer') AND e.id = o.id
) LIMIT 100;
