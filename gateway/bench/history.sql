-- What a run of settlements has written, in PostgreSQL's text format for COPY; one statement each.
-- `$since` is the id before the run's first, a UUIDv7: every id that a gateway makes is greater.
-- Places in it that are to be filled anew are written `@member:number@`.

-- name: settlement
SELECT settlement, created_at, digest, pair, attempt FROM settlement
WHERE settlement > $1 ORDER BY settlement

-- name: party
SELECT member, settlement FROM party WHERE settlement > $1 ORDER BY member, settlement

-- name: journal
SELECT settlement, sequence, epoch, decision, phase, events FROM journal
WHERE settlement > $1 ORDER BY settlement, sequence

-- name: mailbox
SELECT member, '@' || member || ':' ||
           (row_number() OVER (PARTITION BY member ORDER BY sequence)) || '@' AS sequence,
       id, definition, related, created_at, settlement, content
FROM mailbox WHERE id > $1 ORDER BY member, mailbox.sequence

-- name: inbound
-- `escape`, so that the ids in a message stand there as text.
SELECT member, message_id, received_at, id, encode(raw, 'escape') AS raw, definition
FROM inbound WHERE id > $1 ORDER BY id

-- name: instruction
SELECT instruction, member, transaction_id, message_id, entered_at, key_a, key_b, pair, ended,
       advised, header, content, cancelled, alleged, changed_at
FROM instruction WHERE instruction > $1 ORDER BY instruction

-- name: lock_advice
SELECT settlement, member, stage FROM lock_advice WHERE settlement > $1

-- name: contracts
-- They all happen at the time of the last block: a ledger's time never goes back.
SELECT id, settlement, leg, payer, payee, asset, quantity, execution_function, execution_digest,
       cancellation_function, cancellation_digest, lock_by, expires_at, $2::bigint AS locked_at,
       status, $2::bigint AS ended_at, key
FROM contracts WHERE settlement > $1 ORDER BY id

-- name: movements
SELECT account, '@height:' || (height - $1) || '@' AS height, positions
FROM movements WHERE height > $1 ORDER BY height, account

-- name: leaves
SELECT height - $1 AS block, leaf FROM postings WHERE height > $1 ORDER BY height, position;

-- name: contract_ids
SELECT id::text, settlement::text, leg FROM contracts WHERE settlement > $1;

-- name: mailbox_heads
SELECT member, last FROM mailbox_head;

-- name: advance_mailbox
UPDATE mailbox_head SET last = $2 WHERE member = $1;

-- name: last_block
SELECT height, hash, (SELECT at FROM blocks b WHERE b.height = head.height) AS at FROM head;

-- name: advance_head
-- As a replica of the ledger would: whoever has rows in memory reads them again.
UPDATE head SET height = $1, hash = $2 WHERE height = $3;

-- name: move
UPDATE balances SET available = available + $3 WHERE account = $1 AND asset = $2;
