-- History in ranges of heights (`ledgers/ranges.py`). What was written so far, and what is written
-- in the range that has begun, is the first range; TABLE_rest takes what no range was made for in
-- time. `blocks` stays one table: 200 bytes for a block, by which the rest is found and verified.

DROP VIEW entries;

DO $$
DECLARE
    width constant bigint := 1000000; -- as in ledgers/ranges.py
    reached constant bigint := (SELECT coalesce(max(height), 0) FROM blocks);
    history text;
BEGIN
    FOREACH history IN ARRAY ARRAY['postings', 'movements'] LOOP
        EXECUTE format('ALTER TABLE %I RENAME TO %I', history, history || '_first');
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) PARTITION BY RANGE (height)',
                       history, history || '_first');
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (MINVALUE) TO (%L)',
                       history, history || '_first', (reached / width + 1) * width);
        EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT', history || '_rest', history);
    END LOOP;
END $$;

-- For people with psql: the entries as columns.
CREATE VIEW entries AS
    SELECT height, position, entry ->> 'op' AS op, entry ->> 'id' AS id, entry ->> 'by' AS "by",
           (entry ->> 'at')::bigint AS at,
           entry #>> '{debit,account}' AS debit, entry #>> '{debit,balance}' AS debit_balance,
           entry #>> '{credit,account}' AS credit, entry #>> '{credit,balance}' AS credit_balance,
           entry ->> 'asset' AS asset, (entry ->> 'quantity')::bigint AS quantity
    FROM postings, LATERAL (SELECT convert_from(leaf, 'UTF8')::jsonb AS entry) AS decoded;
