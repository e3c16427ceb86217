-- What a database holds and has done, from PostgreSQL's own statistics; one statement each.

-- name: database
-- `active_time` (milliseconds) is how long its sessions have executed statements, waiting included.
SELECT pg_database_size(current_database()) AS bytes,
       (active_time / 1000)::double precision AS active_seconds, xact_commit AS transactions
FROM pg_stat_database WHERE datname = current_database();

-- name: tables
-- Each table with its indexes and what is stored out of line; one that is in ranges as a whole.
SELECT coalesce(pg_partition_root(relid), relid)::regclass::text AS name,
       sum(pg_total_relation_size(relid))::bigint AS bytes,
       sum(n_live_tup)::bigint AS live, sum(n_dead_tup)::bigint AS dead
FROM pg_stat_user_tables GROUP BY 1 ORDER BY 1;
