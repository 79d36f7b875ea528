CREATE TABLE event (
  source VARCHAR NOT NULL,
  event_id VARCHAR NOT NULL,
  type VARCHAR NOT NULL,
  subject VARCHAR NOT NULL,
  happened_at TIMESTAMP WITH TIME ZONE NOT NULL,
  received_at TIMESTAMP WITH TIME ZONE NOT NULL,
  data JSONB,
  CONSTRAINT pk_event PRIMARY KEY (source, event_id)
);

CREATE INDEX ix_event_type ON event (type, happened_at);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON event FOR EACH ROW EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON event FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

ALTER TABLE sku ADD COLUMN meter VARCHAR NOT NULL DEFAULT '';

ALTER TABLE sku ALTER COLUMN meter DROP DEFAULT;

ALTER TABLE price
  ALTER COLUMN per_hour DROP NOT NULL,
  ADD COLUMN per_unit NUMERIC(38, 18),
  ADD COLUMN unit_size BIGINT,
  ADD CONSTRAINT ck_price_per_unit CHECK (per_unit >= 0 and unit_size > 0),
  ADD CONSTRAINT ck_price_kind CHECK ((per_hour is null) <> (per_unit is null) and (per_unit is null) = (unit_size is null));

ALTER TABLE charge
  ADD COLUMN meter VARCHAR,
  ADD COLUMN quantity NUMERIC(78, 18),
  ADD CONSTRAINT ck_charge_metered CHECK ((meter is null) = (quantity is null)),
  ADD CONSTRAINT ck_charge_no_time CHECK (meter is null or (seconds = 0 and device_id is null));

ALTER TABLE invoice_line
  ADD COLUMN meter VARCHAR,
  ADD COLUMN aggregation VARCHAR,
  ADD COLUMN unit VARCHAR,
  ADD COLUMN unit_size BIGINT,
  ADD COLUMN quantity NUMERIC(78, 18),
  ADD COLUMN events BIGINT,
  ADD CONSTRAINT ck_invoice_line_metered CHECK (num_nulls(meter, aggregation, unit, unit_size, quantity, events) in (0, 6)),
  ADD CONSTRAINT ck_invoice_line_no_time CHECK (meter is null or (quantity_seconds = 0 and measured_seconds = 0));

ALTER TABLE api_key
  DROP CONSTRAINT ck_api_key_role,
  ADD CONSTRAINT ck_api_key_role CHECK (role in ('operator', 'finance', 'tenant', 'auditor', 'gateway'));
