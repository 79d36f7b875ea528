CREATE TABLE tenant_gap_term (
  id BIGSERIAL NOT NULL,
  tenant_id BIGINT NOT NULL,
  policy VARCHAR NOT NULL,
  limit_seconds INTEGER NOT NULL,
  since TIMESTAMP WITH TIME ZONE NOT NULL,
  set_at TIMESTAMP WITH TIME ZONE NOT NULL,
  derived_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_tenant_gap_term PRIMARY KEY (id),
  CONSTRAINT ck_tenant_gap_term_policy CHECK (policy in ('exclude', 'bridge', 'lease')),
  CONSTRAINT ck_tenant_gap_term_limit CHECK ((policy = 'bridge') = (limit_seconds > 0)),
  CONSTRAINT fk_tenant_gap_term_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenant (id)
);

CREATE INDEX ix_tenant_gap_term_tenant_id ON tenant_gap_term (tenant_id);

ALTER TABLE usage ADD COLUMN bridged BOOLEAN DEFAULT false NOT NULL;

ALTER TABLE invoice_line ADD COLUMN bridged_seconds BIGINT DEFAULT 0 NOT NULL;

CREATE TABLE maintenance (
  id BIGSERIAL NOT NULL,
  reference VARCHAR NOT NULL,
  gpu_id BIGINT NOT NULL,
  during TSTZRANGE NOT NULL,
  reason VARCHAR NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  cancelled_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_maintenance PRIMARY KEY (id),
  CONSTRAINT fk_maintenance_gpu_id FOREIGN KEY (gpu_id) REFERENCES gpu (id)
);

CREATE INDEX ix_maintenance_reference ON maintenance (reference);

CREATE INDEX ix_maintenance_gpu_id ON maintenance (gpu_id);

CREATE INDEX ix_maintenance_during ON maintenance USING gist (during);

CREATE TABLE due_span (
  id BIGSERIAL NOT NULL,
  during TSTZRANGE NOT NULL,
  derived_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_due_span PRIMARY KEY (id)
);

CREATE INDEX ix_due_span_derived_at ON due_span (derived_at);

CREATE TABLE usage_month (
  start TIMESTAMP WITH TIME ZONE NOT NULL,
  changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_usage_month PRIMARY KEY (start)
);

CREATE TABLE dispute (
  id BIGSERIAL NOT NULL,
  device_id BIGINT NOT NULL,
  during TSTZRANGE NOT NULL,
  labels TEXT[] NOT NULL,
  asked BOOLEAN NOT NULL,
  recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
  superseded_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_dispute PRIMARY KEY (id),
  CONSTRAINT fk_dispute_device_id FOREIGN KEY (device_id) REFERENCES device (id)
);

CREATE INDEX ix_dispute_device ON dispute (device_id, lower(during)) WHERE superseded_at is null;

CREATE INDEX ix_dispute_unasked ON dispute (id) WHERE not asked;

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON dispute FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON dispute FOR EACH ROW EXECUTE FUNCTION guard_frozen('during', 'superseded_at', 'asked');

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON maintenance FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON maintenance FOR EACH ROW EXECUTE FUNCTION guard_frozen('during', 'cancelled_at');

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON tenant_gap_term FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON tenant_gap_term FOR EACH ROW EXECUTE FUNCTION guard_frozen('derived_at');

INSERT INTO usage_month (start, changed_at)
SELECT DISTINCT date_trunc('month', lower(during), 'UTC'), now() FROM usage;
