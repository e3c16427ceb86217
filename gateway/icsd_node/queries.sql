-- Messages of a registry's members and their mailboxes (tables: ledgers/icsd/migrations/0002).

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

-- name: answered
UPDATE messages SET answered_at = $2 WHERE number = $1 AND answered_at IS NULL RETURNING number

-- name: deliver
INSERT INTO mailbox (member, sequence, id, definition, related, created_at, content)
SELECT $1, coalesce(max(sequence), 0) + 1, $2, $3, $4, $5, $6 FROM mailbox WHERE member = $1

-- name: read
SELECT sequence, id, definition, related, created_at, content FROM mailbox
WHERE member = $1 AND sequence > $2 ORDER BY sequence LIMIT $3

-- name: acknowledge
INSERT INTO mailbox_reached AS old (member, through)
SELECT $1, $2::bigint WHERE $2::bigint = 0 OR EXISTS (SELECT FROM mailbox WHERE member = $1 AND sequence = $2::bigint)
ON CONFLICT (member) DO UPDATE SET through = greatest(old.through, excluded.through)
RETURNING through
