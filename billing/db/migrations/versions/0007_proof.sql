CREATE TABLE chain_proof (
  chain_id BIGINT NOT NULL,
  number BIGINT NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_chain_proof PRIMARY KEY (chain_id)
);

CREATE TABLE chain_doubt (
  id BIGSERIAL NOT NULL,
  transfer_id BIGINT NOT NULL,
  why VARCHAR NOT NULL,
  found_at TIMESTAMP WITH TIME ZONE NOT NULL,
  cleared_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_chain_doubt PRIMARY KEY (id),
  CONSTRAINT fk_chain_doubt_transfer_id FOREIGN KEY(transfer_id) REFERENCES transfer (id)
);

CREATE UNIQUE INDEX uq_chain_doubt_one_open ON chain_doubt (transfer_id) WHERE cleared_at is null;

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON chain_doubt FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON chain_doubt FOR EACH ROW EXECUTE FUNCTION guard_frozen('cleared_at');
