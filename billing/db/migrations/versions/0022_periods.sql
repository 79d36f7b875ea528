CREATE TABLE billing_cycle (
  tenant_id BIGINT NOT NULL,
  every VARCHAR NOT NULL,
  anchor INTEGER NOT NULL,
  timezone VARCHAR NOT NULL,
  threshold NUMERIC(78, 0),
  CONSTRAINT pk_billing_cycle PRIMARY KEY (tenant_id),
  CONSTRAINT ck_billing_cycle_every CHECK (every in ('month', 'week', 'day')),
  CONSTRAINT ck_billing_cycle_threshold CHECK (threshold > 0),
  CONSTRAINT fk_billing_cycle_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id)
);

ALTER TABLE invoice ADD COLUMN progressive BOOLEAN DEFAULT false NOT NULL;

DROP INDEX uq_invoice_one_per_period;

ALTER TABLE invoice ADD CONSTRAINT ex_invoice_one_per_period EXCLUDE USING gist (int8range(tenant_id, tenant_id, '[]') WITH &&, period WITH &&) WHERE (status <> 'void' and not progressive);
