-- Every statement of the gateway. Arrays in, sets out: one statement serves a whole batch. A line
-- `-- with: NAME` stands for the text of another one, where two have a part in common.

-- name: register_replica
-- A replica that starts again under its name takes up its own work at once.
INSERT INTO replica (name, seen_at) VALUES ($1, now())
ON CONFLICT (name) DO UPDATE SET seen_at = now()
RETURNING replica;

-- name: heartbeat
-- Only within the epoch ($2) in which the replica started, and while it is known.
UPDATE replica SET seen_at = now()
WHERE replica = $1 AND EXISTS (SELECT FROM epoch WHERE mark = $2)
RETURNING replica;

-- name: release
-- The replica stops in order: whoever looks next takes over.
UPDATE replica SET seen_at = '-infinity' WHERE replica = $1;

-- name: take_over_settlements
-- Open settlements of replicas that were not seen for $2 seconds become ours. Asked every second: as
-- an array those replicas are looked up in an index; joined, all that is open was read each time.
UPDATE open_settlement SET replica = $1
WHERE replica = ANY (ARRAY(
    SELECT replica FROM replica WHERE replica <> $1 AND seen_at < now() - make_interval(secs => $2)
))
RETURNING settlement;

-- name: take_over_pairs
UPDATE pending_pair SET replica = $1
WHERE replica = ANY (ARRAY(
    SELECT replica FROM replica WHERE replica <> $1 AND seen_at < now() - make_interval(secs => $2)
))
RETURNING pair;

-- name: open_settlements
SELECT settlement FROM open_settlement WHERE replica = $1;

-- name: open_pairs
SELECT pair, due_at, attempts, advised, mirrored, failing, settle_on, told_on
FROM pending_pair WHERE replica = $1;

-- name: current_epoch
SELECT epoch, mark FROM epoch;

-- name: load_settlements
SELECT s.settlement, s.pair, s.attempt, s.created_at, o.replica, j.sequence, j.events
FROM settlement s JOIN journal j USING (settlement) LEFT JOIN open_settlement o USING (settlement)
WHERE s.settlement = ANY ($1::uuid[])
ORDER BY s.settlement, j.sequence;

-- name: append
-- Journal rows that follow what is there; a row whose place or whose decision is taken is left out,
-- and so is everything of an older epoch. What goes out because of an entry ($1 to $8: notices, each
-- with the settlement whose entry it is) is delivered, and the pairs that wait no more are dropped,
-- exactly if the entry is written. Returns the settlements whose row was. One statement, so that it
-- is a transaction by itself, and one round trip.
WITH entry AS (
    SELECT * FROM unnest($9::uuid[], $10::int[], $11::text[], $12::text[], $13::text[],
                         $14::bool[], $15::uuid[])
        AS t (settlement, sequence, decision, phase, events, ended, pair)
), written AS (
    INSERT INTO journal (settlement, sequence, epoch, decision, phase, events)
    SELECT settlement, sequence, $16, decision, phase, events FROM entry
    WHERE EXISTS (SELECT FROM epoch WHERE epoch = $16 AND mark = $17 FOR SHARE)
    ON CONFLICT DO NOTHING
    RETURNING settlement
), closed AS (
    DELETE FROM open_settlement o USING entry JOIN written USING (settlement)
    WHERE o.settlement = entry.settlement AND entry.ended
), dropped AS (
    DELETE FROM pending_pair p USING entry JOIN written USING (settlement)
    WHERE p.pair = entry.pair
), item AS (
    SELECT given.* FROM written JOIN (
-- with: items
    ) given ON given.cause = written.settlement
),
-- with: numbering
, told AS (
-- with: delivery
)
SELECT settlement FROM written;

-- name: append_all
-- The same where every place is free, as nearly always, at three quarters of the cost: no row waits
-- for another table's. One that is taken stops the statement (unique violation) with nothing
-- written; `append` then finds out which. Returns a row if the epoch still lasts.
WITH
-- with: appending
, closed AS (
    DELETE FROM open_settlement
    WHERE settlement = ANY ($18::uuid[]) AND EXISTS (SELECT FROM ok)
), dropped AS (
    DELETE FROM pending_pair WHERE pair = ANY ($19::uuid[]) AND EXISTS (SELECT FROM ok)
),
-- with: posting
SELECT true FROM ok;

-- name: open_new
-- Settlements that nobody has opened before, with their parties, the first entry of each, and what
-- goes out because of it. Of an older epoch nothing is opened. Returns the ones that are new.
WITH entry AS (
    SELECT * FROM unnest($9::uuid[], $10::bigint[], $11::bytea[], $12::uuid[], $13::int[],
                         $14::text[], $15::text[], $16::text[])
        AS t (settlement, created_at, digest, pair, attempt, decision, phase, events)
), written AS (
    INSERT INTO settlement (settlement, created_at, digest, pair, attempt)
    SELECT settlement, created_at, digest, pair, attempt FROM entry
    WHERE EXISTS (SELECT FROM epoch WHERE epoch = $18 AND mark = $19 FOR SHARE)
    ON CONFLICT DO NOTHING
    RETURNING settlement
), opened AS (
    INSERT INTO open_settlement (settlement, replica) SELECT settlement, $17 FROM written
), parties AS (
    INSERT INTO party (member, settlement)
    SELECT member, settlement
    FROM unnest($20::text[], $21::uuid[]) AS p (member, settlement)
    JOIN written USING (settlement)
), first AS (
    INSERT INTO journal (settlement, sequence, epoch, decision, phase, events)
    SELECT settlement, 1, $18, decision, phase, events FROM entry JOIN written USING (settlement)
), item AS (
    SELECT given.* FROM written JOIN (
-- with: items
    ) given ON given.cause = written.settlement
),
-- with: numbering
, told AS (
-- with: delivery
)
SELECT settlement FROM written;

-- name: open_all
-- The same where all of them are new, as nearly always. One that is not stops the statement (unique
-- violation) with nothing written; `open_new` then finds out which. Returns a row if the epoch
-- still lasts.
WITH
-- with: appending
, new AS (
    INSERT INTO settlement (settlement, created_at, digest, pair, attempt)
    SELECT settlement, created_at, digest, pair, attempt
    FROM ok, unnest($13::uuid[], $19::bigint[], $20::bytea[], $21::uuid[], $22::int[])
        AS t (settlement, created_at, digest, pair, attempt)
), opened AS (
    INSERT INTO open_settlement (settlement, replica)
    SELECT settlement, $18 FROM ok, unnest($13::uuid[]) AS t (settlement)
), parties AS (
    INSERT INTO party (member, settlement)
    SELECT member, settlement
    FROM ok, unnest($23::text[], $24::uuid[]) AS p (member, settlement)
),
-- with: posting
SELECT true FROM ok;

-- name: known_settlements
SELECT settlement, digest FROM settlement WHERE settlement = ANY ($1::uuid[]);

-- name: deliver
-- Messages into mailboxes, whatever caused them.
WITH ok AS (
    SELECT
),
-- with: posting
SELECT true FROM ok;

-- name: appending
-- Of the epoch $11 with its mark $12, if it lasts: the entries $13 to $17.
ok AS (
    SELECT FROM epoch WHERE epoch = $11 AND mark = $12 FOR SHARE
), entry AS (
    INSERT INTO journal (settlement, sequence, epoch, decision, phase, events)
    SELECT settlement, sequence, $11, decision, phase, events
    FROM ok, unnest($13::uuid[], $14::int[], $15::text[], $16::text[], $17::text[])
        AS t (settlement, sequence, decision, phase, events)
)

-- name: posting
-- Into the mailboxes of the members $1, so many each ($2): the messages $3 to $10, each with its
-- number among those for its member. The heads are locked in the order of the members, so that
-- replicas never wait for each other in a circle; each mailbox is numbered without a gap.
head AS (
    SELECT member, last FROM mailbox_head
    WHERE member = ANY ($1) AND EXISTS (SELECT FROM ok) ORDER BY member FOR UPDATE
), moved AS (
    UPDATE mailbox_head h SET last = head.last + t.count
    FROM head JOIN unnest($1::text[], $2::int[]) AS t (member, count) USING (member)
    WHERE h.member = head.member
), put AS (
    INSERT INTO mailbox (member, sequence, id, definition, related, created_at, settlement, content)
    SELECT member, head.last + number, id, definition, related, created_at, settlement, content
    FROM unnest($3::text[], $4::int[], $5::uuid[], $6::text[], $7::text[], $8::bigint[], $9::uuid[],
                $10::text[])
        AS t (member, number, id, definition, related, created_at, settlement, content)
    JOIN head USING (member)
)

-- name: items
SELECT * FROM unnest(
    $1::text[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::uuid[], $7::text[], $8::uuid[]
) WITH ORDINALITY AS t (member, id, definition, related, created_at, settlement, content, cause, n)

-- name: numbering
-- The heads are locked in the order of the members, so that replicas never wait for each other in a
-- circle; each mailbox is numbered without a gap.
head AS (
    SELECT member, last FROM mailbox_head
    WHERE member IN (SELECT DISTINCT member FROM item) ORDER BY member FOR UPDATE
), numbered AS (
    SELECT item.*, head.last + row_number() OVER (PARTITION BY item.member ORDER BY n) AS sequence
    FROM item JOIN head USING (member)
), put AS (
    INSERT INTO mailbox (member, sequence, id, definition, related, created_at, settlement, content)
    SELECT member, sequence, id, definition, related, created_at, settlement, content FROM numbered
)

-- name: delivery
UPDATE mailbox_head h SET last = top.last
FROM (SELECT member, max(sequence) AS last FROM numbered GROUP BY member) top
WHERE h.member = top.member

-- name: ensure_mailboxes
INSERT INTO mailbox_head (member) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING;

-- name: read_mailbox
-- A page ends earlier where its messages are large (statements): at $4 bytes, with one at least.
SELECT sequence, id::text, definition, related, created_at, settlement::text, content
FROM (SELECT *, sum(octet_length(content)) OVER (ORDER BY sequence) - octet_length(content) AS before
      FROM (SELECT * FROM mailbox
            WHERE member = $1 AND sequence > $2 ORDER BY sequence LIMIT $3) AS page) AS counted
WHERE before < $4 ORDER BY sequence;

-- name: mailbox_last
SELECT last FROM mailbox_head WHERE member = $1;

-- name: acknowledge
UPDATE mailbox_head SET acknowledged = greatest(acknowledged, $2)
WHERE member = $1 AND last >= $2 RETURNING acknowledged;

-- name: lock_matching
-- Matching must see every earlier instruction, those of other replicas included: one intake of
-- instructions at a time, from here to its commit.
SELECT pg_advisory_xact_lock(hashtext('lockstep.matching'));

-- name: known_inbound
SELECT i.member, i.message_id, i.id, i.received_at, i.definition, i.raw
FROM inbound i JOIN unnest($1::text[], $2::text[]) AS t (member, message_id)
    USING (member, message_id);

-- name: known_references
-- Of these references, those that are used; and an empty one if any instruction is linked to another.
SELECT i.member, i.transaction_id
FROM instruction i JOIN unnest($1::text[], $2::text[]) AS t (member, transaction_id)
    USING (member, transaction_id)
UNION ALL
SELECT '', '' WHERE EXISTS (SELECT FROM link);

-- name: candidates
-- Instructions that may match these: all of other members that share both keys; and of those that
-- share one, which can only name a near miss, some: or a large party's backlog in one ISIN would be
-- read for each message.
WITH wanted AS (
    SELECT DISTINCT a, b, member
    FROM unnest($1::bytea[], $2::bytea[], $3::text[]) AS t (a, b, member)
), found AS (
    SELECT c.instruction FROM wanted w CROSS JOIN LATERAL (
        SELECT instruction FROM instruction
        WHERE key_b = w.b AND key_a = w.a AND member <> w.member AND pair IS NULL AND NOT ended
        UNION ALL
        (SELECT instruction FROM instruction
         WHERE key_a = w.a AND pair IS NULL AND NOT ended LIMIT $4)
        UNION ALL
        (SELECT instruction FROM instruction
         WHERE key_b = w.b AND pair IS NULL AND NOT ended LIMIT $4)
    ) AS c
)
SELECT instruction, entered_at, member, key_a, key_b, advised, alleged, header, content
FROM instruction WHERE instruction IN (SELECT instruction FROM found);

-- name: store_inbound
INSERT INTO inbound (member, message_id, received_at, id, raw, definition)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::uuid[], $5::bytea[], $6::text[]);

-- name: store_instructions
INSERT INTO instruction (instruction, member, transaction_id, message_id, entered_at, key_a, key_b,
                         pair, ended, advised, header, content)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bytea[],
                     $7::bytea[], $8::uuid[], $9::bool[], $10::text[], $11::text[], $12::text[]);

-- name: update_instructions
-- Matched at last (`pair`), or told a nearer miss than before (`advised`).
UPDATE instruction i
SET pair = t.pair, advised = t.advised,
    changed_at = (extract(epoch FROM now()) * 1000000000)::bigint
FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS t (instruction, pair, advised)
WHERE i.instruction = t.instruction;

-- name: load_pairs
SELECT pair, instruction, member, entered_at, header, content FROM instruction
WHERE pair = ANY ($1::uuid[]);

-- name: find_instruction
SELECT instruction, member, entered_at, pair, ended, cancelled, alleged, header, content
FROM instruction WHERE member = $1 AND transaction_id = $2;

-- name: cancel_instructions
-- Some by themselves, or both sides of pairs.
UPDATE instruction SET ended = true, cancelled = true
WHERE instruction = ANY ($1::uuid[]) OR pair = ANY ($2::uuid[]);

-- name: amend_instruction
UPDATE instruction SET entered_at = $2, key_a = $3, key_b = $4, advised = $5, content = $6
WHERE instruction = $1;

-- name: keep_fx_amendment
INSERT INTO fx_amendment (instruction, entered_at, header, content) VALUES ($1, $2, $3, $4)
ON CONFLICT (instruction) DO UPDATE SET entered_at = $2, header = $3, content = $4;

-- name: fx_amendment
SELECT entered_at, header, content FROM fx_amendment WHERE instruction = $1;

-- name: drop_fx_amendments
DELETE FROM fx_amendment WHERE instruction = ANY ($1::uuid[]);

-- name: part_pair
UPDATE instruction SET pair = NULL WHERE pair = $1;

-- name: allege
-- Securities instructions without a counterpart that came before $1 and are not alleged yet: they
-- are now. (No message alleges a foreign exchange trade.)
WITH due AS (
    UPDATE instruction SET alleged = true
    WHERE instruction IN (
        SELECT instruction FROM instruction
        WHERE pair IS NULL AND NOT ended AND NOT alleged AND entered_at <= $1
          AND header LIKE '%"definition":"sese.023.%'
        ORDER BY entered_at LIMIT $2
    )
    RETURNING instruction, entered_at, member, header, content
)
SELECT instruction, member, entered_at, header, content FROM due ORDER BY entered_at, instruction;

-- name: store_request
INSERT INTO request (instruction, message_id, header) VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING;

-- name: received
-- What a member has sent about its side of a pair: its instruction, and requests about it.
SELECT n.message_id, n.definition, n.received_at, n.raw, m.header
FROM instruction i
CROSS JOIN LATERAL (
    SELECT i.message_id, i.header
    UNION ALL
    SELECT message_id, header FROM request WHERE instruction = i.instruction
) m
JOIN inbound n ON n.member = i.member AND n.message_id = m.message_id
WHERE i.pair = $1 AND i.member = $2
ORDER BY n.received_at, n.message_id;

-- name: answered
-- What a member was told of a settlement as an agreed swap, and in answer to messages with these
-- headers ($3).
SELECT sequence, id::text, definition, related, created_at, settlement::text, content
FROM mailbox WHERE member = $1 AND related IS NULL AND settlement = $2
UNION ALL
SELECT sequence, id::text, definition, related, created_at, settlement::text, content
FROM mailbox
WHERE member = $1 AND related IS NOT NULL AND related = ANY ($3::text[])
  AND hashtext(related) = ANY (ARRAY(SELECT hashtext(header) FROM unnest($3::text[]) AS t (header)))
ORDER BY sequence;

-- name: hold_instruction
UPDATE instruction SET content = $2 WHERE instruction = $1;

-- name: lock_pending
SELECT pair, due_at, attempts, advised, mirrored, failing, settle_on, told_on
FROM pending_pair WHERE pair = $1 FOR UPDATE;

-- name: lock_resting_pairs
-- Of these pairs, the ones of which no attempt is under way, as they stand; none begins before we
-- are done. The order keeps replicas out of each other's way.
SELECT pair, due_at, attempts, advised, mirrored, failing, settle_on, told_on
FROM pending_pair p
WHERE pair = ANY ($1::uuid[])
  AND NOT EXISTS (SELECT FROM settlement s JOIN open_settlement USING (settlement)
                  WHERE s.pair = p.pair)
ORDER BY pair FOR UPDATE OF p;

-- name: unmatched
-- What waits for a counterpart, its date and its last status being before $1: a page after id $2.
SELECT instruction, member, entered_at, alleged, header, content,
       coalesce(changed_at, entered_at) AS changed_at
FROM instruction
WHERE pair IS NULL AND NOT ended AND instruction > $2
  AND coalesce(changed_at, entered_at) < extract(epoch FROM $1::date + 1) * 1000000000
  AND (content::json ->> 'settlement_date')::date < $1
ORDER BY instruction LIMIT $3;

-- name: still_unmatched
SELECT instruction, member, entered_at, alleged, header, content,
       coalesce(changed_at, entered_at) AS changed_at
FROM instruction WHERE instruction = ANY ($1::uuid[]) AND pair IS NULL AND NOT ended;

-- name: last_attempt
SELECT settlement FROM settlement WHERE pair = $1 ORDER BY attempt DESC LIMIT 1;

-- name: cancellations
-- Requests that are not answered finally yet, in the order of their pairs.
SELECT c.pair, c.instruction, c.message_id, c.header, i.member
FROM cancellation c JOIN instruction i USING (instruction)
WHERE c.pair = ANY ($1::uuid[]) ORDER BY c.pair, c.instruction, c.message_id;

-- name: store_cancellation
-- Whether it is the first request of its side.
WITH put AS (
    INSERT INTO cancellation (instruction, message_id, pair, header) VALUES ($1, $2, $3, $4)
)
SELECT NOT EXISTS (SELECT FROM cancellation WHERE instruction = $1);

-- name: drop_cancellations
DELETE FROM cancellation WHERE pair = ANY ($1::uuid[]);

-- name: due_pairs
-- Of pairs to be tried again: those that still wait for it. Held, settling, cancelled, or taken by
-- another replica meanwhile, a pair is tried no more. Locked against a cancellation at the same time.
SELECT p.pair, p.due_at, p.attempts, p.advised, p.mirrored, p.failing, p.settle_on, p.told_on
FROM pending_pair p
JOIN unnest($1::uuid[], $2::int[]) AS t (pair, attempt)
    ON p.pair = t.pair AND p.attempts = t.attempt - 1
WHERE p.due_at < $3
ORDER BY p.pair FOR UPDATE OF p;

-- name: mailbox_backlogs
SELECT member, last - acknowledged AS backlog FROM mailbox_head;

-- name: open_payments
SELECT count(*) FROM payment WHERE state = 'OPEN';

-- name: matching_queue
SELECT count(*) FROM instruction WHERE pair IS NULL AND NOT ended;

-- name: put_pending
INSERT INTO pending_pair (pair, due_at, attempts, advised, replica, mirrored, failing, settle_on,
                          told_on)
SELECT pair, due_at, attempts, advised, $5, mirrored, failing, settle_on, told_on
FROM unnest($1::uuid[], $2::bigint[], $3::int[], $4::text[], $6::text[], $7::bool[], $8::date[],
            $9::date[])
    AS t (pair, due_at, attempts, advised, mirrored, failing, settle_on, told_on)
ON CONFLICT (pair) DO UPDATE
SET due_at = excluded.due_at, attempts = excluded.attempts, advised = excluded.advised,
    replica = excluded.replica, mirrored = excluded.mirrored, failing = excluded.failing,
    settle_on = excluded.settle_on, told_on = excluded.told_on;

-- name: drop_pending
DELETE FROM pending_pair WHERE pair = ANY ($1::uuid[]);

-- name: list_settlements
-- A member's settlements, newest ids first, with the phase after the last journal row.
SELECT p.settlement, s.created_at, j.phase
FROM party p
JOIN settlement s USING (settlement)
CROSS JOIN LATERAL (
    SELECT phase FROM journal WHERE settlement = p.settlement ORDER BY sequence DESC LIMIT 1
) j
WHERE p.member = $1 AND p.settlement < $2
ORDER BY p.settlement DESC LIMIT $3;

-- name: list_all_settlements
SELECT s.settlement, s.created_at, j.phase
FROM settlement s
CROSS JOIN LATERAL (
    SELECT phase FROM journal WHERE settlement = s.settlement ORDER BY sequence DESC LIMIT 1
) j
WHERE s.settlement < $1
ORDER BY s.settlement DESC LIMIT $2;

-- name: store_description
INSERT INTO ledger (ledger, description) VALUES ($1, $2)
ON CONFLICT (ledger) DO UPDATE SET description = excluded.description;

-- name: load_descriptions
SELECT ledger, description FROM ledger;

-- name: load_idempotent
SELECT digest, status, answer FROM idempotency WHERE member = $1 AND key = $2;

-- name: store_idempotent
-- Status 0 binds the key to a request before anything is done; its answer takes that place once.
INSERT INTO idempotency (member, key, digest, status, answer) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (member, key) DO UPDATE SET status = excluded.status, answer = excluded.answer
WHERE idempotency.digest = excluded.digest AND idempotency.status = 0;

-- name: forget_idempotent
DELETE FROM idempotency WHERE (member, key) IN (
    SELECT member, key FROM idempotency WHERE kept_at < now() - $1::interval
    ORDER BY kept_at LIMIT $2 FOR UPDATE SKIP LOCKED
) RETURNING 1;

-- name: put_webhook
-- Replaces what was there; the setting begins without failures.
INSERT INTO webhook (member, url, secret, set_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (member) DO UPDATE
SET url = excluded.url, secret = excluded.secret, set_at = excluded.set_at, failures = 0,
    fault = NULL, next_at = '-infinity', gone = false;

-- name: show_webhook
SELECT url, set_at, failures, fault, gone, extract(epoch FROM next_at) AS next_at
FROM webhook WHERE member = $1;

-- name: drop_webhook
DELETE FROM webhook WHERE member = $1 RETURNING member;

-- name: due_webhooks
-- Webhooks that have something to deliver and may try it now, and that nobody else works on.
SELECT w.member FROM webhook w JOIN mailbox_head h USING (member)
WHERE NOT w.gone AND w.next_at <= now() AND h.last > h.acknowledged
  AND (w.claimed_by = $1 OR w.claimed_until < now());

-- name: claim_webhook
-- For the next $3 seconds this replica delivers, and no other.
UPDATE webhook w SET claimed_by = $2, claimed_until = now() + make_interval(secs => $3)
FROM mailbox_head h
WHERE w.member = $1 AND h.member = w.member AND NOT w.gone AND w.next_at <= now()
  AND (w.claimed_by = $2 OR w.claimed_until < now())
RETURNING w.url, w.secret, w.set_at, w.failures, h.acknowledged;

-- name: webhook_delivered
-- The claim goes on; nothing if it was lost, or the setting changed meanwhile.
UPDATE webhook SET failures = 0, fault = NULL, claimed_until = now() + make_interval(secs => $4)
WHERE member = $1 AND claimed_by = $2 AND set_at = $3 RETURNING member;

-- name: webhook_failed
UPDATE webhook SET failures = failures + 1, fault = $4, gone = $6,
    next_at = now() + make_interval(secs => $5)
WHERE member = $1 AND claimed_by = $2 AND set_at = $3;

-- name: webhooks_failing
SELECT count(*) FROM webhook WHERE failures > 0;

-- name: begin_epoch
UPDATE epoch SET epoch = epoch + 1, mark = gen_random_uuid(), lacking = NULL
RETURNING epoch, mark;

-- name: lacking
SELECT lacking FROM epoch;

-- name: mark_lacking
UPDATE epoch SET lacking = coalesce(lacking, $1);

-- name: last_alive
-- When a replica was last at work, in UTC nanoseconds, or, where all have stopped in order, when the
-- last settlement began: nothing in this database is much older than what happened last.
SELECT coalesce(
    (SELECT (extract(epoch FROM max(seen_at)) * 1000000000)::bigint
     FROM replica WHERE isfinite(seen_at)),
    (SELECT max(created_at) FROM settlement),
    0
);

-- name: lock_epoch
-- Appends wait from here on.
SELECT epoch FROM epoch FOR UPDATE;

-- name: declare_restore
INSERT INTO restore (epoch, since_at) VALUES ($1, $2) RETURNING declared_at;

-- name: restore
-- Of the epoch that lasts, if a restore began it.
SELECT r.epoch, r.declared_at, r.begun_at, r.done_at, r.since_at FROM restore r JOIN epoch e USING (epoch);

-- name: begin_restore
UPDATE restore SET begun_at = coalesce(begun_at, now()) WHERE epoch = $1;

-- name: end_restore
UPDATE restore SET done_at = coalesce(done_at, now()) WHERE epoch = $1;

-- name: all_open
SELECT settlement FROM open_settlement WHERE settlement > $1
ORDER BY settlement LIMIT $2;

-- name: phases_known
-- Of settlements that the journal knows: the phase after the last row.
SELECT DISTINCT ON (settlement) settlement, phase FROM journal
WHERE settlement = ANY ($1::uuid[]) ORDER BY settlement, sequence DESC;

-- name: note_found
INSERT INTO found (settlement, epoch, legs) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: claim_found
-- A settlement that was found and moves just this becomes that of a pair, unless it is another's or
-- went back.
UPDATE found SET pair = $2 WHERE settlement = (
    SELECT f.settlement FROM found f
    WHERE f.legs = $1 AND (f.pair = $2 OR f.pair IS NULL)
      AND NOT EXISTS (SELECT FROM journal j
                      WHERE j.settlement = f.settlement AND j.phase = 'CANCELLED')
    ORDER BY f.pair NULLS LAST, f.settlement LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING settlement;

-- name: unposted_found
SELECT settlement FROM found JOIN settlement USING (settlement)
WHERE settlement = ANY ($1::uuid[]) AND digest IS NULL;

-- name: post_found
UPDATE settlement SET digest = $2 WHERE settlement = $1;

-- name: settle_claimed
UPDATE settlement SET pair = $2, attempt = $3 WHERE settlement = $1;

-- name: store_resolution
INSERT INTO resolution (settlement, operator, decision, evidence, said_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (settlement, operator) DO UPDATE
SET decision = excluded.decision, evidence = excluded.evidence, said_at = excluded.said_at;

-- name: resolutions
SELECT operator, decision, evidence, said_at FROM resolution
WHERE settlement = $1 ORDER BY said_at, operator;

-- name: pairs_of_settlements
-- The matched instructions that settlements are attempts of, where they are.
SELECT settlement, pair FROM settlement WHERE settlement = ANY ($1::uuid[]) AND pair IS NOT NULL;

-- name: store_links
INSERT INTO link (member, waits, waits_for)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING;

-- name: open_links
-- Of these instructions, those that wait for one that is not there yet, or not at its end.
SELECT DISTINCT l.member, l.waits
FROM link l
JOIN unnest($1::text[], $2::text[]) AS t (member, waits) USING (member, waits)
LEFT JOIN instruction i ON i.member = l.member AND i.transaction_id = l.waits_for
WHERE i.instruction IS NULL
   OR NOT (i.ended OR EXISTS (SELECT FROM settlement s JOIN journal j USING (settlement)
                              WHERE s.pair = i.pair AND j.phase = 'SETTLED'));

-- name: store_payment
INSERT INTO payment (payment, member, message_id, entered_at, instruction_id, end_to_end_id, uetr,
                     swap_id, header, content)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: known_uetr
SELECT EXISTS (SELECT FROM payment WHERE member = $1 AND uetr = $2);

-- name: named_instruction
-- The sender's instruction that a payment order names: by its TxId, and only where none has that,
-- among those that are open by the common reference or the swap's id.
WITH open AS MATERIALIZED (
    SELECT i.instruction FROM pending_pair p JOIN instruction i ON i.pair = p.pair
    WHERE i.member = $1
    UNION ALL
    SELECT instruction FROM instruction WHERE pair IS NULL AND NOT ended AND member = $1
), named AS (
    SELECT instruction, 1 AS rank FROM instruction
    WHERE member = $1 AND transaction_id = ANY ($2::text[])
    UNION ALL
    SELECT instruction, 2 FROM instruction JOIN open USING (instruction)
    WHERE content::json ->> 'common_id' = $3 OR content::json -> 'lock' ->> 'swap_id' = $4
)
SELECT i.instruction, i.member, i.entered_at, i.pair, i.ended, i.header, i.content
FROM named JOIN instruction i USING (instruction)
ORDER BY rank, i.entered_at LIMIT 1;

-- name: standing_payments
-- The open payment order of each of these instructions, where there is one: the first that names it.
SELECT DISTINCT ON (t.instruction) t.instruction, p.payment, p.member, p.header, p.content
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[])
    AS t (instruction, member, transaction_id, common_id, swap_id)
JOIN payment p ON p.member = t.member AND p.state = 'OPEN' AND (
    t.transaction_id IN (p.instruction_id, p.end_to_end_id)
    OR (p.end_to_end_id = t.common_id OR p.swap_id = t.swap_id)
        AND NOT EXISTS (
            SELECT FROM instruction i
            WHERE i.member = p.member AND i.transaction_id IN (p.instruction_id, p.end_to_end_id)
        )
)
ORDER BY t.instruction, p.entered_at, p.payment;

-- name: use_payments
-- Payment orders that an attempt of these pairs is opened with.
UPDATE payment p SET pair = t.pair
FROM unnest($1::uuid[], $2::uuid[]) AS t (payment, pair) WHERE p.payment = t.payment;

-- name: used_payments
SELECT pair, payment, member, header, content FROM payment
WHERE pair = ANY ($1::uuid[]) AND state = 'OPEN';

-- name: end_payments
UPDATE payment p SET state = t.state
FROM unnest($1::uuid[], $2::text[]) AS t (payment, state)
WHERE p.payment = t.payment AND p.state = 'OPEN';

-- name: recalled_payment
-- The payment order that a recall names by all that it says of it, the open one first.
SELECT payment, member, state, pair, header, content FROM payment
WHERE member = $1
  AND (uetr = $2 OR $2 IS NULL)
  AND (end_to_end_id = $3 OR $3 IS NULL)
  AND (instruction_id = $4 OR $4 IS NULL)
  AND (content::json ->> 'message_id' = $5 OR $5 IS NULL)
ORDER BY state <> 'OPEN', entered_at DESC LIMIT 1;

-- name: store_transfer
-- Nothing where the sender has used its reference before.
INSERT INTO liquidity_transfer (transfer, member, transfer_id, ledger, debit_account,
                                credit_account, asset, quantity, header, content)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (member, transfer_id) DO NOTHING RETURNING transfer;

-- name: open_transfers
SELECT transfer, member, ledger, debit_account, credit_account, asset, quantity, header, content
FROM liquidity_transfer WHERE NOT answered ORDER BY transfer LIMIT $1;

-- name: answer_transfer
UPDATE liquidity_transfer SET answered = true
WHERE transfer = $1 AND NOT answered RETURNING transfer;

-- name: lock_heads
-- Before the settlements, as an append locks them: two that take both never wait in a circle.
SELECT member FROM mailbox_head WHERE member = ANY ($1::text[]) ORDER BY member FOR UPDATE;

-- name: lock_open
-- Of these settlements, those that have not ended, kept from ending until we are done. One that is
-- being written at this moment is left out: its state is another in a moment, or it ends.
SELECT settlement FROM open_settlement
WHERE settlement = ANY ($1::uuid[]) FOR UPDATE SKIP LOCKED;

-- name: advise_stages
INSERT INTO lock_advice (settlement, member, stage)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[])
ON CONFLICT DO NOTHING RETURNING settlement, member, stage;

-- name: keep_secret
INSERT INTO handed_secret (settlement, sealed) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: handed_secret
SELECT sealed FROM handed_secret WHERE settlement = $1;

-- name: use_hashes
INSERT INTO party_hash (digest, settlement) SELECT * FROM unnest($1::bytea[], $2::uuid[])
ON CONFLICT DO NOTHING;

-- name: used_hashes
SELECT digest, settlement FROM party_hash WHERE digest = ANY ($1::bytea[]);

-- name: use_hash
-- Whether nobody has used this hash before.
INSERT INTO party_hash (digest, settlement) VALUES ($1, $2)
ON CONFLICT DO NOTHING RETURNING settlement;

-- name: begin_system_state
INSERT INTO system_state (subject, state) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: lock_system_state
SELECT state FROM system_state WHERE subject = $1 FOR UPDATE;

-- name: put_system_state
UPDATE system_state SET state = $2 WHERE subject = $1;
