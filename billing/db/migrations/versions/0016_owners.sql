CREATE TABLE owner (
  id BIGSERIAL NOT NULL,
  slug VARCHAR NOT NULL,
  name VARCHAR NOT NULL,
  legal_name VARCHAR NOT NULL,
  country VARCHAR NOT NULL,
  email VARCHAR NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_owner PRIMARY KEY (id),
  CONSTRAINT uq_owner_slug UNIQUE (slug)
);

CREATE TABLE gpu_share (
  id BIGSERIAL NOT NULL,
  owner_id BIGINT NOT NULL,
  gpu_id BIGINT NOT NULL,
  parts BIGINT NOT NULL,
  during TSTZRANGE NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  cancelled_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_gpu_share PRIMARY KEY (id),
  CONSTRAINT ck_gpu_share_parts CHECK (parts > 0 and parts <= 720720000),
  CONSTRAINT fk_gpu_share_owner_id FOREIGN KEY(owner_id) REFERENCES owner (id),
  CONSTRAINT fk_gpu_share_gpu_id FOREIGN KEY(gpu_id) REFERENCES gpu (id)
);

CREATE INDEX ix_gpu_share_gpu_id ON gpu_share (gpu_id);

CREATE INDEX ix_gpu_share_owner_id ON gpu_share (owner_id);

CREATE TABLE owner_fee (
  id BIGSERIAL NOT NULL,
  owner_id BIGINT NOT NULL,
  basis_points INTEGER NOT NULL,
  since TIMESTAMP WITH TIME ZONE NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_owner_fee PRIMARY KEY (id),
  CONSTRAINT ck_owner_fee_basis_points CHECK (basis_points >= 0 and basis_points <= 10000),
  CONSTRAINT fk_owner_fee_owner_id FOREIGN KEY(owner_id) REFERENCES owner (id)
);

CREATE INDEX ix_owner_fee_owner_id ON owner_fee (owner_id);

CREATE TABLE owner_settlement (
  id BIGSERIAL NOT NULL,
  entry_id BIGINT,
  booked_on DATE NOT NULL,
  settled_at TIMESTAMP WITH TIME ZONE NOT NULL,
  settled_by VARCHAR NOT NULL,
  CONSTRAINT pk_owner_settlement PRIMARY KEY (id),
  CONSTRAINT fk_owner_settlement_entry_id FOREIGN KEY(entry_id) REFERENCES entry (id)
);

CREATE INDEX ix_owner_settlement_booked_on ON owner_settlement (booked_on);

CREATE TABLE owner_settlement_line (
  id BIGSERIAL NOT NULL,
  settlement_id BIGINT NOT NULL,
  owner_id BIGINT NOT NULL,
  invoice_id BIGINT NOT NULL,
  gpu_id BIGINT NOT NULL,
  currency VARCHAR NOT NULL,
  collected NUMERIC(78, 0) NOT NULL,
  fee NUMERIC(78, 0) NOT NULL,
  CONSTRAINT pk_owner_settlement_line PRIMARY KEY (id),
  CONSTRAINT ck_owner_settlement_line_not_zero CHECK (collected <> 0 or fee <> 0),
  CONSTRAINT fk_owner_settlement_line_settlement_id FOREIGN KEY(settlement_id) REFERENCES owner_settlement (id),
  CONSTRAINT fk_owner_settlement_line_owner_id FOREIGN KEY(owner_id) REFERENCES owner (id),
  CONSTRAINT fk_owner_settlement_line_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoice (id),
  CONSTRAINT fk_owner_settlement_line_gpu_id FOREIGN KEY(gpu_id) REFERENCES gpu (id)
);

CREATE INDEX ix_owner_settlement_line_invoice_id ON owner_settlement_line (invoice_id);

CREATE INDEX ix_owner_settlement_line_owner_id ON owner_settlement_line (owner_id);

CREATE INDEX ix_owner_settlement_line_settlement_id ON owner_settlement_line (settlement_id);

CREATE TABLE owner_look (
  invoice_id BIGINT NOT NULL,
  collected NUMERIC(78, 0) NOT NULL,
  shares_digest VARCHAR NOT NULL,
  looked_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_owner_look PRIMARY KEY (invoice_id),
  CONSTRAINT fk_owner_look_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoice (id)
);

CREATE TABLE owner_payee (
  id BIGSERIAL NOT NULL,
  owner_id BIGINT NOT NULL,
  chain_id BIGINT NOT NULL,
  address VARCHAR NOT NULL,
  proposed_by VARCHAR NOT NULL,
  proposed_at TIMESTAMP WITH TIME ZONE NOT NULL,
  confirmed_by VARCHAR,
  confirmed_at TIMESTAMP WITH TIME ZONE,
  ended_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_owner_payee PRIMARY KEY (id),
  CONSTRAINT ck_owner_payee_two_people CHECK (confirmed_by <> proposed_by),
  CONSTRAINT ck_owner_payee_confirmed CHECK ((confirmed_by is null) = (confirmed_at is null)),
  CONSTRAINT fk_owner_payee_owner_id FOREIGN KEY(owner_id) REFERENCES owner (id)
);

CREATE UNIQUE INDEX uq_owner_payee_in_force ON owner_payee (owner_id, chain_id) WHERE confirmed_at is not null and ended_at is null;

CREATE UNIQUE INDEX uq_owner_payee_proposed ON owner_payee (owner_id, chain_id) WHERE confirmed_at is null and ended_at is null;

CREATE FUNCTION guard_owned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('gpu_share', NEW.gpu_id));
  IF EXISTS (
    SELECT 1 FROM gpu_share a JOIN gpu_share b
        ON b.gpu_id = a.gpu_id AND b.cancelled_at IS NULL AND b.during @> lower(a.during)
     WHERE a.gpu_id = NEW.gpu_id AND a.cancelled_at IS NULL GROUP BY a.id HAVING sum(b.parts) > 720720000) THEN
    RAISE EXCEPTION 'GPU % is owned more than once', NEW.gpu_id USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON owner_fee FOR EACH ROW EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON owner_settlement FOR EACH ROW EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON owner_settlement_line FOR EACH ROW EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON owner_fee FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON owner_settlement FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON owner_settlement_line FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON gpu_share FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON owner_payee FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON gpu_share FOR EACH ROW EXECUTE FUNCTION guard_frozen('during', 'cancelled_at');

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON owner_payee FOR EACH ROW EXECUTE FUNCTION guard_frozen('confirmed_by', 'confirmed_at', 'ended_at');

CREATE TRIGGER owned_once AFTER INSERT OR UPDATE ON gpu_share FOR EACH ROW EXECUTE FUNCTION guard_owned();
