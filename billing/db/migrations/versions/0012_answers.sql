CREATE INDEX ix_idempotency_key_created_at ON idempotency_key (created_at);
