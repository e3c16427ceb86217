-- How well work was batched, read from what was written; one statement each.

-- name: height
SELECT height FROM head;

-- name: ledger_batches
-- Blocks above a height: each is one transaction of the ledger.
SELECT count(*) AS transactions, coalesce(sum(count), 0)::bigint AS items
FROM blocks WHERE height > $1;

-- name: gateway_batches
-- Journal entries of settlements above an id, and the transactions that wrote them.
SELECT count(DISTINCT xmin::text) AS transactions, count(*) AS items
FROM journal WHERE settlement > $1;
