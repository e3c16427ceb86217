-- What the gateway's statements over the mailboxes call: its migration 0060.
CREATE FUNCTION items(text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN string_to_array($1, E'\x1e', '');
