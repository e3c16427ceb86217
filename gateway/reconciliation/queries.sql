-- The gateway's own record of each ledger, and what did not agree.

-- name: place
SELECT place FROM own_book_place WHERE ledger = $1;

-- name: begin_book
INSERT INTO own_book_place (ledger, place) VALUES ($1, '') ON CONFLICT DO NOTHING;

-- name: advance
-- Only from the place that the facts were read from: of two readers one writes them.
UPDATE own_book_place SET place = $3 WHERE ledger = $1 AND place = $2 RETURNING place;

-- name: add_changes
INSERT INTO own_book AS b (ledger, account, asset, available, locked)
SELECT $1, t.* FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[])
    AS t (account, asset, available, locked)
ON CONFLICT (ledger, account, asset) DO UPDATE
SET available = b.available + excluded.available, locked = b.locked + excluded.locked;

-- name: add_legs
-- Of settlements of ours, those that a ledger has ended and that do not agree yet: nearly all agree
-- by the time that they are read, and leave no row.
INSERT INTO own_leg (ledger, contract, settlement, asset, quantity, executed, ended_at)
SELECT $1, t.contract, t.settlement, t.asset, t.quantity, t.executed, t.ended_at
FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::bool[], $7::bigint[])
    AS t (contract, settlement, asset, quantity, executed, ended_at)
JOIN settlement s ON s.settlement = t.settlement
CROSS JOIN LATERAL (
    SELECT phase FROM journal j WHERE j.settlement = t.settlement ORDER BY sequence DESC LIMIT 1
) AS last
WHERE last.phase <> CASE WHEN t.executed THEN 'SETTLED' ELSE 'CANCELLED' END
ON CONFLICT DO NOTHING;

-- name: forget_agreed_legs
DELETE FROM own_leg l USING (
    SELECT o.contract, last.phase
    FROM own_leg o CROSS JOIN LATERAL (
        SELECT phase FROM journal j WHERE j.settlement = o.settlement ORDER BY sequence DESC LIMIT 1
    ) AS last
    WHERE o.ledger = $1
) AS seen
WHERE l.ledger = $1 AND l.contract = seen.contract
  AND seen.phase = CASE WHEN l.executed THEN 'SETTLED' ELSE 'CANCELLED' END;

-- name: open_legs
-- What ended otherwise than its settlement has, or before $2 and its settlement has not ended.
SELECT o.contract, o.settlement, o.asset, o.quantity, o.executed, last.phase
FROM own_leg o CROSS JOIN LATERAL (
    SELECT phase FROM journal j WHERE j.settlement = o.settlement ORDER BY sequence DESC LIMIT 1
) AS last
WHERE o.ledger = $1 AND (last.phase IN ('SETTLED', 'CANCELLED') OR o.ended_at < $2)
ORDER BY o.ended_at LIMIT 1000;

-- name: told
-- Only a counter-account is ever below zero: by what was issued.
SELECT asset, (-coalesce(sum(available) FILTER (WHERE available < 0), 0))::bigint AS issued,
       sum(locked)::bigint AS locked
FROM own_book WHERE ledger = $1 GROUP BY asset;

-- name: kept
-- Own rows after a place in the order of accounts and assets, up to another ($6: to the end).
SELECT account, asset, available, locked FROM own_book
WHERE ledger = $1 AND (account, asset) > ($2, $3)
  AND ($6::bool OR (account, asset) <= ($4, $5))
ORDER BY account, asset;

-- name: forget_book
-- Begin anew: a person has found that the ledger is right and this record is not.
WITH book AS (DELETE FROM own_book WHERE ledger = $1), legs AS (DELETE FROM own_leg WHERE ledger = $1)
UPDATE own_book_place SET place = '' WHERE ledger = $1;

-- name: put_run
INSERT INTO reconciliation (ledger, business_date, started_at, ended_at, as_of, holdings, facts, totals)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (ledger) DO UPDATE
SET business_date = excluded.business_date, started_at = excluded.started_at,
    ended_at = excluded.ended_at, as_of = excluded.as_of, holdings = excluded.holdings,
    facts = excluded.facts, totals = excluded.totals;

-- name: runs
SELECT ledger, business_date, started_at, ended_at, as_of, holdings, facts, totals
FROM reconciliation ORDER BY ledger;

-- name: put_breaks
-- Seen for the first time, or again; says which are new.
INSERT INTO reconciliation_break AS b (ledger, asset, account, kind, expected, found, what,
                                       first_seen_at, last_seen_at)
SELECT $1, t.*, $8, $8
FROM unnest($2::text[], $3::text[], $4::text[], $5::numeric[], $6::numeric[], $7::text[])
    AS t (asset, account, kind, expected, found, what)
ON CONFLICT (ledger, asset, account, kind) WHERE closed_at IS NULL DO UPDATE
SET expected = excluded.expected, found = excluded.found, what = excluded.what,
    last_seen_at = excluded.last_seen_at
RETURNING number, asset, account, kind, (xmax = 0) AS is_new;

-- name: close_breaks
-- What this run did not find any more.
UPDATE reconciliation_break SET closed_at = $2
WHERE ledger = $1 AND closed_at IS NULL AND last_seen_at < $2
RETURNING number, ledger, asset, account, kind, expected, found, what, first_seen_at, last_seen_at,
          closed_at;

-- name: breaks
-- Open ones; with $1 also those that were closed after it. Oldest first.
SELECT number, ledger, asset, account, kind, expected, found, what, first_seen_at, last_seen_at,
       closed_at
FROM reconciliation_break
WHERE closed_at IS NULL OR closed_at > $1
ORDER BY first_seen_at, number LIMIT $2;

-- name: stops
SELECT ledger, asset, count(*) AS breaks, min(first_seen_at) AS first_seen_at
FROM reconciliation_break WHERE closed_at IS NULL GROUP BY ledger, asset;
