CREATE TABLE balance_reading (
  id BIGSERIAL NOT NULL,
  chain_id BIGINT NOT NULL,
  address VARCHAR NOT NULL,
  token_address VARCHAR NOT NULL,
  block_number BIGINT NOT NULL,
  block_hash VARCHAR NOT NULL,
  units NUMERIC(78, 0),
  why VARCHAR NOT NULL,
  read_at TIMESTAMP WITH TIME ZONE NOT NULL,
  counted_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_balance_reading PRIMARY KEY (id)
);

CREATE UNIQUE INDEX uq_balance_reading_waiting ON balance_reading (chain_id, address, token_address) WHERE counted_at is null;

CREATE UNIQUE INDEX uq_balance_reading_counted ON balance_reading (chain_id, address, token_address) WHERE counted_at is not null;
