-- Full matches share both keys, and are looked for among any number of instructions that share one.
CREATE INDEX instruction_keys ON instruction (key_b, key_a) WHERE pair IS NULL AND NOT ended;
DROP INDEX instruction_key_b;
