CREATE TABLE quote (
  id BIGSERIAL NOT NULL,
  chain_id BIGINT NOT NULL,
  feed_address VARCHAR NOT NULL,
  inverted BOOLEAN NOT NULL,
  rate NUMERIC(38, 18) NOT NULL,
  rate_source VARCHAR NOT NULL,
  rate_at TIMESTAMP WITH TIME ZONE NOT NULL,
  valid_from TIMESTAMP WITH TIME ZONE NOT NULL,
  valid_until TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_quote PRIMARY KEY (id),
  CONSTRAINT ck_quote_rate CHECK (rate > 0),
  CONSTRAINT ck_quote_life CHECK (valid_until > valid_from)
);

CREATE INDEX ix_quote_feed ON quote (chain_id, feed_address, inverted, valid_until);

CREATE INDEX ix_quote_valid_until ON quote (valid_until);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON quote FOR EACH ROW EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON quote FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();
