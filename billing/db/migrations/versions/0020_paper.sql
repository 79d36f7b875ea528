CREATE TABLE tenant_tax_term (
  id BIGSERIAL NOT NULL,
  tenant_id BIGINT NOT NULL,
  kind VARCHAR NOT NULL,
  name VARCHAR NOT NULL,
  rate NUMERIC(38, 18) NOT NULL,
  note VARCHAR NOT NULL,
  since TIMESTAMP WITH TIME ZONE NOT NULL,
  set_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_tenant_tax_term PRIMARY KEY (id),
  CONSTRAINT ck_tenant_tax_term_kind CHECK (kind in ('standard', 'exempt', 'reverse_charge')),
  CONSTRAINT ck_tenant_tax_term_name CHECK ((kind = 'standard') = (name <> '')),
  CONSTRAINT ck_tenant_tax_term_note CHECK ((kind = 'standard') = (note = '')),
  CONSTRAINT ck_tenant_tax_term_rate CHECK (rate between 0 and 1 and (kind = 'standard' or rate = 0)),
  CONSTRAINT fk_tenant_tax_term_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id)
);

CREATE INDEX ix_tenant_tax_term_tenant_id ON tenant_tax_term (tenant_id);

CREATE TABLE credit_note_line (
  id BIGSERIAL NOT NULL,
  credit_note_id BIGINT NOT NULL,
  invoice_id BIGINT NOT NULL,
  position INTEGER NOT NULL,
  amount NUMERIC(78, 0) NOT NULL,
  CONSTRAINT pk_credit_note_line PRIMARY KEY (id),
  CONSTRAINT uq_credit_note_line_credit_note_id_position UNIQUE (credit_note_id, position),
  CONSTRAINT ck_credit_note_line_positive CHECK (amount > 0),
  CONSTRAINT fk_credit_note_line_credit_note_id FOREIGN KEY(credit_note_id) REFERENCES credit_note (id),
  CONSTRAINT fk_credit_note_line_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoice (id)
);

CREATE INDEX ix_credit_note_line_invoice_id ON credit_note_line (invoice_id);

ALTER TABLE tenant ADD COLUMN address VARCHAR DEFAULT '' NOT NULL;

ALTER TABLE tenant ADD COLUMN tax_id VARCHAR DEFAULT '' NOT NULL;

ALTER TABLE tenant ADD COLUMN purchase_order VARCHAR DEFAULT '' NOT NULL;

ALTER TABLE invoice ADD COLUMN tax NUMERIC(78, 0) DEFAULT 0 NOT NULL;

ALTER TABLE invoice ADD COLUMN purchase_order VARCHAR DEFAULT '' NOT NULL;

ALTER TABLE credit_note ADD COLUMN kind VARCHAR DEFAULT 'void' NOT NULL;

ALTER TABLE credit_note ADD COLUMN tax NUMERIC(78, 0) DEFAULT 0 NOT NULL;

ALTER TABLE credit_note ADD CONSTRAINT ck_credit_note_kind CHECK (kind in ('void', 'partial'));

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON credit_note_line FOR EACH ROW EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON credit_note_line FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON tenant_tax_term FOR EACH ROW EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON tenant_tax_term FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();
