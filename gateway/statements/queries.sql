-- Statements: what was sent, and how its pages get into a mailbox together.

-- name: last_statement
SELECT number, business_date, to_cursor, to_at, closing FROM statement
WHERE ledger = $1 AND account = $2 AND kind = $3 AND asset = $4 AND frequency = $5
ORDER BY number DESC LIMIT 1;

-- name: daily_statement
SELECT statement, number, business_date, opening_date, from_cursor, to_cursor, from_at, to_at
FROM statement
WHERE ledger = $1 AND account = $2 AND kind = $3 AND asset = $4 AND business_date = $5
  AND frequency = 'DAIL';

-- name: put_page
INSERT INTO statement_page (statement, page, id, made_at, content) VALUES ($1, $2, $3, $4, $5);

-- name: drop_pages
DELETE FROM statement_page WHERE statement = $1;

-- name: drop_old_pages
-- Of statements whose making was cut off.
DELETE FROM statement_page WHERE made_at < $1;

-- name: put_statement
-- No row comes back if another replica has made it.
INSERT INTO statement (statement, member, ledger, account, kind, asset, frequency, number,
                       business_date, opening_date, from_cursor, to_cursor, from_at, to_at,
                       closing, pages)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT DO NOTHING RETURNING number;

-- name: deliver_pages
-- The pages into the mailbox, one after the other and with nothing between them.
WITH head AS (
    SELECT last FROM mailbox_head WHERE member = $1 FOR UPDATE
), put AS (
    INSERT INTO mailbox (member, sequence, id, definition, related, created_at, settlement, content)
    SELECT $1, head.last + p.page, p.id, $3, NULL, $4, NULL, p.content
    FROM statement_page p, head WHERE p.statement = $2
    RETURNING 1
)
UPDATE mailbox_head SET last = last + (SELECT count(*) FROM put) WHERE member = $1;

-- name: statement_day
SELECT business_date, closed_at FROM statement_day WHERE ledger = $1;

-- name: put_statement_day
INSERT INTO statement_day (ledger, business_date, closed_at) VALUES ($1, $2, $3)
ON CONFLICT (ledger) DO UPDATE
SET business_date = excluded.business_date, closed_at = excluded.closed_at
WHERE statement_day.business_date < excluded.business_date;
