-- What an audit reads of a gateway's database, in one snapshot.

-- name: settlements
-- One that was found on ledgers after a restore was told of as an agreed swap, whatever pair of
-- instructions turned out to be its own.
SELECT s.settlement, CASE WHEN f.settlement IS NULL THEN s.pair END AS pair, o.replica
FROM settlement s LEFT JOIN found f USING (settlement) LEFT JOIN open_settlement o USING (settlement)
WHERE s.settlement > $1 ORDER BY s.settlement LIMIT $2;

-- name: settlements_of
SELECT s.settlement, CASE WHEN f.settlement IS NULL THEN s.pair END AS pair, o.replica
FROM settlement s LEFT JOIN found f USING (settlement) LEFT JOIN open_settlement o USING (settlement)
WHERE s.settlement = ANY ($1::uuid[]) ORDER BY s.settlement;

-- name: journals
SELECT settlement, sequence, epoch, decision, phase, events FROM journal
WHERE settlement > $1 AND settlement <= $2 ORDER BY settlement, sequence;

-- name: journals_of
SELECT settlement, sequence, epoch, decision, phase, events FROM journal
WHERE settlement = ANY ($1::uuid[]) ORDER BY settlement, sequence;

-- name: volume
SELECT count(*) FROM settlement;

-- name: epoch
SELECT epoch FROM epoch;

-- name: known
SELECT settlement FROM settlement WHERE settlement = ANY ($1::uuid[]);

-- name: resolved
-- What two operators decided after a restore, and by what evidence.
SELECT r.settlement, r.decision, r.evidence, array_agg(r.operator ORDER BY r.operator) AS operators
FROM resolution r JOIN journal j USING (settlement, decision)
WHERE j.events LIKE '%"reason":"OPERATORS"%'
GROUP BY r.settlement, r.decision, r.evidence HAVING count(*) > 1 ORDER BY r.settlement;

-- name: ledgers
SELECT ledger, description FROM ledger;

-- name: final_notices
-- Of agreed swaps. The content is our own compact JSON: within its texts a quote is escaped, so
-- that these characters in a row are the member `final`, and a damaged row does no harm.
SELECT settlement, member, count(*) AS notices FROM mailbox
WHERE definition = 'lockstep.settlement.1' AND settlement IS NOT NULL
  AND content LIKE '%"final":true%'
GROUP BY settlement, member ORDER BY settlement, member;

-- name: instructions
-- Every instruction message taken in, what its sender was told of it, and whether it is over: refused as a
-- repeated reference (no instruction), refused otherwise, settled, or cancelled by its parties.
WITH said AS (
    SELECT member, related::json ->> 'business_message_id' AS message_id, count(*) AS told,
           count(*) FILTER (
               WHERE definition LIKE 'sese.025.%'
                  OR content LIKE '%"processing":{"status":"Rjctd"%'
                  OR content LIKE '%"processing":{"status":"Canc"%'
                  OR definition LIKE 'fxtr.017.%' AND content NOT LIKE '%"answers":"%'
                     AND content ~ '"status":"(STLD|RSCD|INVA|RJCT)"'
           ) AS finals
    FROM mailbox
    WHERE related IS NOT NULL
      AND (definition LIKE 'sese.024.%' OR definition LIKE 'sese.025.%'
           OR definition LIKE 'fxtr.017.%')
    GROUP BY 1, 2
), attempts AS (
    SELECT s.pair, bool_or(o.replica IS NOT NULL) AS running,
           bool_or(EXISTS (
               SELECT FROM journal j
               WHERE j.settlement = s.settlement AND (
                   j.phase = 'SETTLED'
                   OR j.phase = 'CANCELLED' AND EXISTS (
                       SELECT FROM journal d
                       WHERE d.settlement = s.settlement AND d.decision = 'CANCEL'
                         AND d.events LIKE '%"reason":"CANCEL_ACCEPTED"%'
                   )
               )
           )) AS over
    FROM settlement s LEFT JOIN open_settlement o USING (settlement)
    WHERE s.pair IS NOT NULL GROUP BY s.pair
)
SELECT n.member, n.message_id, i.instruction, i.pair,
       i.instruction IS NULL OR i.ended OR coalesce(a.over, false) AS over,
       coalesce(a.running, false) OR p.pair IS NOT NULL AS going_on,
       coalesce(s.told, 0) AS told, coalesce(s.finals, 0) AS finals
FROM inbound n
LEFT JOIN instruction i ON i.member = n.member AND i.message_id = n.message_id
LEFT JOIN attempts a ON a.pair = i.pair
LEFT JOIN pending_pair p ON p.pair = i.pair
LEFT JOIN said s ON s.member = n.member AND s.message_id = n.message_id
WHERE n.definition LIKE 'sese.023.%' OR n.definition LIKE 'fxtr.014.%'
ORDER BY n.member, n.message_id;

-- name: mailboxes
SELECT coalesce(h.member, m.member) AS member, h.last, h.acknowledged,
       coalesce(m.messages, 0) AS messages, coalesce(m.highest, 0) AS highest
FROM mailbox_head h
FULL JOIN (SELECT member, count(*) AS messages, max(sequence) AS highest
           FROM mailbox GROUP BY member) m USING (member)
ORDER BY 1;

-- name: gaps
SELECT member, before + 1 AS first, sequence - 1 AS last
FROM (SELECT member, sequence,
             lag(sequence, 1, 0::bigint) OVER (PARTITION BY member ORDER BY sequence) AS before
      FROM mailbox) AS numbered
WHERE sequence <> before + 1 ORDER BY member, sequence;

-- name: repeated_messages
SELECT id, array_agg(member ORDER BY member, sequence) AS members,
       array_agg(sequence ORDER BY member, sequence) AS sequences
FROM mailbox GROUP BY id HAVING count(*) > 1 LIMIT 100;
