-- Answers kept under an `Idempotency-Key` are forgotten after some days (gateway/forgetting.py).
-- Rows of before count from now on.
ALTER TABLE idempotency ADD COLUMN kept_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX idempotency_kept_at ON idempotency (kept_at);
