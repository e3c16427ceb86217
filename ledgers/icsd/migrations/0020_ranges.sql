-- History in ranges (`ledgers/ranges.py`), as in a ledger and a gateway: the archive of what was
-- read by the heights of the network's blocks, postings by those of this registry's own chain,
-- mailboxes by the numbers of messages.

DO $$
DECLARE
    chain constant bigint := 1000000; -- widths as in ledgers/ranges.py
    messages constant bigint := 5000000;
    history record;
BEGIN
    FOR history IN VALUES
        ('network_blocks', 'height', chain, (SELECT coalesce(max(height), 0) FROM head)),
        ('postings', 'height', chain, (SELECT coalesce(max(height), 0) FROM blocks)),
        ('movements', 'height', chain, (SELECT coalesce(max(height), 0) FROM blocks)),
        ('mailbox', 'sequence', messages, (SELECT coalesce(max(last), 0) FROM mailbox_head))
    LOOP
        EXECUTE format('ALTER TABLE %I RENAME TO %I', history.column1, history.column1 || '_first');
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) PARTITION BY RANGE (%I)',
                       history.column1, history.column1 || '_first', history.column2);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (MINVALUE) TO (%L)',
                       history.column1, history.column1 || '_first',
                       (history.column4 / history.column3 + 1) * history.column3);
        EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT',
                       history.column1 || '_rest', history.column1);
    END LOOP;
END $$;
