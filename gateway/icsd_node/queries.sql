-- Messages of a registry's members (tables: ledgers/icsd/migrations/0002). Mailboxes, webhooks and
-- statements have the gateway's tables (0010), and its queries.

-- name: known
SELECT id, digest, received_at FROM messages WHERE member = $1 AND message = $2

-- name: keep
INSERT INTO messages
    (member, message, id, definition, digest, received_at, raw, entry, answered_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (member, message) DO NOTHING
RETURNING number

-- name: open
SELECT number, member, id, raw, received_at, entry FROM messages
WHERE answered_at IS NULL ORDER BY number LIMIT $1

-- name: backlog
SELECT count(*) AS count, min(received_at) AS oldest_at FROM messages WHERE answered_at IS NULL

-- name: answered
UPDATE messages SET answered_at = $2 WHERE number = $1 AND answered_at IS NULL RETURNING number

-- name: sent_as
-- The messages of a member that became these operations.
SELECT id, raw FROM messages WHERE member = $1 AND id = ANY ($2::uuid[])
