CREATE TABLE assignment (
  id BIGSERIAL NOT NULL,
  payment_id BIGINT NOT NULL,
  invoice_id BIGINT NOT NULL,
  units NUMERIC(78, 0) NOT NULL,
  applied_units NUMERIC(78, 0) NOT NULL,
  written_off_units NUMERIC(78, 0) NOT NULL,
  decided_by VARCHAR NOT NULL,
  reason VARCHAR NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  ended_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_assignment PRIMARY KEY (id),
  CONSTRAINT uq_assignment_payment_id_invoice_id UNIQUE (payment_id, invoice_id),
  CONSTRAINT ck_assignment_positive CHECK (units > 0),
  CONSTRAINT ck_assignment_applied CHECK (applied_units between 0 and units),
  CONSTRAINT fk_assignment_payment_id FOREIGN KEY(payment_id) REFERENCES payment (id),
  CONSTRAINT fk_assignment_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoice (id)
);

CREATE INDEX ix_assignment_invoice_id ON assignment (invoice_id);

CREATE TABLE refund (
  id BIGSERIAL NOT NULL,
  payment_id BIGINT NOT NULL,
  tenant_id BIGINT,
  chain_id BIGINT NOT NULL,
  token_address VARCHAR NOT NULL,
  units NUMERIC(78, 0) NOT NULL,
  currency VARCHAR NOT NULL,
  value_units NUMERIC(78, 0) NOT NULL,
  state VARCHAR NOT NULL,
  decided_by VARCHAR NOT NULL,
  reason VARCHAR NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  paid_by_transfer_id BIGINT,
  paid_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_refund PRIMARY KEY (id),
  CONSTRAINT ck_refund_state CHECK (state in ('owed', 'paid', 'gone')),
  CONSTRAINT ck_refund_positive CHECK (units > 0),
  CONSTRAINT ck_refund_paid_by CHECK ((state = 'paid') = (paid_by_transfer_id is not null)),
  CONSTRAINT fk_refund_payment_id FOREIGN KEY(payment_id) REFERENCES payment (id),
  CONSTRAINT fk_refund_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id),
  CONSTRAINT fk_refund_paid_by_transfer_id FOREIGN KEY(paid_by_transfer_id) REFERENCES transfer (id)
);

CREATE INDEX ix_refund_payment_id ON refund (payment_id);

CREATE INDEX ix_refund_tenant_id ON refund (tenant_id);

CREATE UNIQUE INDEX uq_refund_paid_once ON refund (paid_by_transfer_id) WHERE paid_by_transfer_id is not null;

CREATE TABLE write_off (
  id BIGSERIAL NOT NULL,
  invoice_id BIGINT NOT NULL,
  units NUMERIC(78, 0) NOT NULL,
  decided_by VARCHAR NOT NULL,
  reason VARCHAR NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  ended_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_write_off PRIMARY KEY (id),
  CONSTRAINT ck_write_off_units CHECK (units >= 0),
  CONSTRAINT fk_write_off_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoice (id)
);

CREATE UNIQUE INDEX uq_write_off_one_standing ON write_off (invoice_id) WHERE ended_at is null;

CREATE TABLE payee (
  id BIGSERIAL NOT NULL,
  tenant_id BIGINT NOT NULL,
  chain_id BIGINT NOT NULL,
  address VARCHAR NOT NULL,
  reason VARCHAR NOT NULL,
  proposed_by VARCHAR NOT NULL,
  proposed_at TIMESTAMP WITH TIME ZONE NOT NULL,
  confirmed_by VARCHAR,
  confirmed_at TIMESTAMP WITH TIME ZONE,
  revoked_by VARCHAR,
  revoked_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_payee PRIMARY KEY (id),
  CONSTRAINT ck_payee_two_people CHECK (confirmed_by is null or confirmed_by <> proposed_by),
  CONSTRAINT ck_payee_confirmed CHECK ((confirmed_by is null) = (confirmed_at is null)),
  CONSTRAINT fk_payee_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id)
);

CREATE UNIQUE INDEX uq_payee_one_confirmed ON payee (tenant_id, chain_id) WHERE confirmed_at is not null and revoked_at is null;

CREATE UNIQUE INDEX uq_payee_one_standing ON payee (tenant_id, chain_id, address) WHERE revoked_at is null;

ALTER TABLE credit_use ALTER COLUMN invoice_id DROP NOT NULL;

ALTER TABLE credit_use ADD COLUMN refund_id BIGINT;

ALTER TABLE credit_use ADD CONSTRAINT fk_credit_use_refund_id FOREIGN KEY(refund_id) REFERENCES refund (id);

ALTER TABLE credit_use ADD CONSTRAINT ck_credit_use_one_use CHECK (num_nonnulls(invoice_id, refund_id) = 1);

INSERT INTO refund (payment_id, tenant_id, chain_id, token_address, units, currency, value_units, state, decided_by, reason, created_at)
SELECT p.id, p.tenant_id, t.chain_id, t.token_address, t.units, '', 0, 'owed', coalesce(x.resolved_by, ''), p.reason, e.created_at
  FROM entry e JOIN posting o ON o.entry_id = e.id AND o.account = 'refunds_payable'
  JOIN transfer t ON t.id = e.transfer_id
  JOIN payment p ON p.transfer_id = t.id AND p.incarnation = e.incarnation AND p.disposition = 'resolved'
  LEFT JOIN LATERAL (SELECT resolved_by FROM exception WHERE transfer_id = t.id AND resolution = 'refund' ORDER BY id DESC LIMIT 1) x ON true
 WHERE e.kind = 'resolve' ORDER BY e.id;

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON assignment FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON write_off FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON refund FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON payee FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON assignment FOR EACH ROW EXECUTE FUNCTION guard_frozen('applied_units', 'written_off_units', 'ended_at');

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON write_off FOR EACH ROW EXECUTE FUNCTION guard_frozen('units', 'ended_at');

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON refund FOR EACH ROW EXECUTE FUNCTION guard_frozen('state', 'paid_by_transfer_id', 'paid_at');

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON payee FOR EACH ROW EXECUTE FUNCTION guard_frozen('confirmed_by', 'confirmed_at', 'revoked_by', 'revoked_at');
