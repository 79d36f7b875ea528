ALTER TABLE price ADD COLUMN tenant_id BIGINT;
ALTER TABLE price ADD COLUMN model VARCHAR DEFAULT 'flat' NOT NULL;
ALTER TABLE price ADD COLUMN tiers JSONB;
ALTER TABLE price ADD CONSTRAINT fk_price_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id);
ALTER TABLE price DROP CONSTRAINT ex_price_one_price;
ALTER TABLE price ADD CONSTRAINT ex_price_one_price EXCLUDE USING gist (int8range(hashtextextended(sku || chr(10) || coalesce(tenant_id, 0)::text, 0), hashtextextended(sku || chr(10) || coalesce(tenant_id, 0)::text, 0), '[]') WITH &&, during WITH &&) WHERE (superseded_at is null);
ALTER TABLE price DROP CONSTRAINT ck_price_kind;
ALTER TABLE price ADD CONSTRAINT ck_price_kind CHECK (case model when 'flat' then (per_hour is null) <> (per_unit is null) and (per_unit is null) = (unit_size is null) and tiers is null when 'spot' then num_nonnulls(per_hour, per_unit, unit_size, tiers) = 0 else model in ('graduated', 'volume', 'package') and num_nonnulls(per_hour, per_unit) = 0 and tiers is not null end);

CREATE TABLE spot_rate (
  id BIGSERIAL NOT NULL,
  sku VARCHAR NOT NULL,
  per_hour NUMERIC(38, 18) NOT NULL,
  during TSTZRANGE NOT NULL,
  set_at TIMESTAMP WITH TIME ZONE NOT NULL,
  set_by VARCHAR NOT NULL,
  CONSTRAINT pk_spot_rate PRIMARY KEY (id),
  CONSTRAINT ex_spot_rate_one_rate EXCLUDE USING gist (int8range(hashtextextended(sku, 0), hashtextextended(sku, 0), '[]') WITH &&, during WITH &&),
  CONSTRAINT ck_spot_rate_not_negative CHECK (per_hour >= 0),
  CONSTRAINT fk_spot_rate_sku FOREIGN KEY(sku) REFERENCES sku (code)
);

CREATE TABLE agreement (
  id BIGSERIAL NOT NULL,
  book_id BIGINT NOT NULL,
  kind VARCHAR NOT NULL,
  code VARCHAR NOT NULL,
  title VARCHAR NOT NULL,
  tenant_id BIGINT,
  skus TEXT[] NOT NULL,
  amount NUMERIC(78, 0),
  percent NUMERIC(38, 18),
  prorate BOOLEAN NOT NULL,
  during TSTZRANGE NOT NULL,
  superseded_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_agreement PRIMARY KEY (id),
  CONSTRAINT ex_agreement_one_meaning EXCLUDE USING gist (int8range(hashtextextended(code, 0), hashtextextended(code, 0), '[]') WITH &&, during WITH &&) WHERE (superseded_at is null),
  CONSTRAINT ck_agreement_kind CHECK (kind in ('fee', 'minimum', 'discount')),
  CONSTRAINT ck_agreement_amount CHECK ((amount is null) <> (percent is null) and amount >= 0 and percent > 0),
  CONSTRAINT ck_agreement_payer CHECK (kind = 'discount' or tenant_id is not null and amount is not null),
  CONSTRAINT fk_agreement_book_id FOREIGN KEY(book_id) REFERENCES price_book (id),
  CONSTRAINT fk_agreement_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id)
);

ALTER TABLE charge ADD COLUMN line_kind VARCHAR DEFAULT 'usage' NOT NULL;
ALTER TABLE charge ADD COLUMN package BIGINT;
ALTER TABLE charge ADD CONSTRAINT ck_charge_line_kind CHECK (line_kind in ('usage', 'fee', 'minimum', 'discount'));

ALTER TABLE invoice_line ADD COLUMN kind VARCHAR DEFAULT 'usage' NOT NULL;
ALTER TABLE invoice_line ADD COLUMN package BIGINT;
ALTER TABLE invoice_line ADD CONSTRAINT ck_invoice_line_kind CHECK (kind in ('usage', 'fee', 'minimum', 'discount'));

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON spot_rate FOR EACH ROW EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON spot_rate FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON agreement FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON agreement FOR EACH ROW EXECUTE FUNCTION guard_frozen('superseded_at');
