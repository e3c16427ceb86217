-- A column of a batch comes as one text, its items apart by U+001E (`gateway.sql.column`): the
-- driver's own check of each element of an array cost the gateway more than all else that it does to
-- write. An empty text is NULL: no column that comes so has one. PostgreSQL inlines the call.
CREATE FUNCTION items(text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN string_to_array($1, E'\x1e', '');
