-- History in ranges (`ledgers/ranges.py`): `journal` by the months in which settlements were opened
-- (UUIDv7, RFC 9562: an id begins with its time), `mailbox` by the numbers of messages. What was
-- written so far, and what is written in the range that has begun, is the first range; TABLE_rest
-- takes what no range was made for in time, so that no message waits for one.

DO $$
DECLARE
    month constant timestamp := date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month';
    millis constant text :=
        lpad(to_hex((extract(epoch FROM month AT TIME ZONE 'UTC') * 1000)::bigint), 12, '0');
    width constant bigint := 5000000; -- as in ledgers/ranges.py
    reached constant bigint := (SELECT coalesce(max(last), 0) FROM mailbox_head);
    history record;
BEGIN
    FOR history IN VALUES
        ('journal', 'settlement', left(millis, 8) || '-' || right(millis, 4) || '-0000-0000-000000000000'),
        ('mailbox', 'sequence', ((reached / width + 1) * width)::text)
    LOOP
        EXECUTE format('ALTER TABLE %I RENAME TO %I', history.column1, history.column1 || '_first');
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) PARTITION BY RANGE (%I)',
                       history.column1, history.column1 || '_first', history.column2);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (MINVALUE) TO (%L)',
                       history.column1, history.column1 || '_first', history.column3);
        EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT',
                       history.column1 || '_rest', history.column1);
    END LOOP;
END $$;
