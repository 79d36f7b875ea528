CREATE TABLE deposit_document (
  id BIGSERIAL NOT NULL,
  number VARCHAR NOT NULL,
  series VARCHAR NOT NULL,
  tenant_id BIGINT NOT NULL,
  currency VARCHAR NOT NULL,
  exponent INTEGER NOT NULL,
  document BYTEA NOT NULL,
  digest VARCHAR NOT NULL,
  replaces_id BIGINT,
  issued_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_deposit_document PRIMARY KEY (id),
  CONSTRAINT uq_deposit_document_number UNIQUE (number),
  CONSTRAINT fk_deposit_document_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id),
  CONSTRAINT uq_deposit_document_digest UNIQUE (digest),
  CONSTRAINT fk_deposit_document_replaces_id FOREIGN KEY(replaces_id) REFERENCES deposit_document (id)
);

CREATE INDEX ix_deposit_document_tenant_id ON deposit_document (tenant_id);

CREATE UNIQUE INDEX uq_deposit_document_first ON deposit_document (tenant_id, currency) WHERE replaces_id is null;

CREATE UNIQUE INDEX uq_deposit_document_replaced_once ON deposit_document (replaces_id) WHERE replaces_id is not null;

CREATE TABLE prepaid_term (
  tenant_id BIGINT NOT NULL,
  low_units NUMERIC(78, 0),
  low_days INTEGER,
  suspend_at_zero BOOLEAN NOT NULL,
  set_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_prepaid_term PRIMARY KEY (tenant_id),
  CONSTRAINT ck_prepaid_term_low CHECK (low_units >= 0 and low_days > 0),
  CONSTRAINT fk_prepaid_term_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id)
);

CREATE TABLE prepaid_level (
  tenant_id BIGINT NOT NULL,
  currency VARCHAR NOT NULL,
  exponent INTEGER NOT NULL,
  accrued_units NUMERIC(78, 0) NOT NULL,
  per_day_units NUMERIC(78, 0) NOT NULL,
  state VARCHAR NOT NULL,
  state_at TIMESTAMP WITH TIME ZONE NOT NULL,
  looked_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_prepaid_level PRIMARY KEY (tenant_id),
  CONSTRAINT ck_prepaid_level_state CHECK (state in ('good', 'low', 'exhausted')),
  CONSTRAINT fk_prepaid_level_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id)
);

ALTER TABLE payment_address
  ADD COLUMN deposit_id BIGINT,
  ADD CONSTRAINT fk_payment_address_deposit_id FOREIGN KEY(deposit_id) REFERENCES deposit_document (id),
  DROP CONSTRAINT ck_payment_address_kind,
  ADD CONSTRAINT ck_payment_address_kind CHECK (kind in ('invoice', 'deposit', 'treasury', 'unissued'));

CREATE INDEX ix_payment_address_deposit_id ON payment_address (deposit_id);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON deposit_document FOR EACH ROW EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON deposit_document FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();
