CREATE TABLE block (
  chain_id BIGINT NOT NULL,
  number BIGINT NOT NULL,
  hash VARCHAR NOT NULL,
  parent_hash VARCHAR NOT NULL,
  mined_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_block PRIMARY KEY (chain_id, number)
);

CREATE TABLE chain_state (
  chain_id BIGINT NOT NULL,
  name VARCHAR NOT NULL,
  start_number BIGINT NOT NULL,
  cursor_number BIGINT NOT NULL,
  cursor_hash VARCHAR NOT NULL,
  cursor_mined_at TIMESTAMP WITH TIME ZONE NOT NULL,
  final_number BIGINT NOT NULL,
  stopped VARCHAR NOT NULL,
  rewind_to TIMESTAMP WITH TIME ZONE,
  updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_chain_state PRIMARY KEY (chain_id)
);

CREATE TABLE gpu (
  id BIGSERIAL NOT NULL,
  uuid VARCHAR NOT NULL,
  model VARCHAR NOT NULL,
  host VARCHAR NOT NULL,
  instance VARCHAR NOT NULL,
  source VARCHAR NOT NULL,
  in_service TSTZRANGE NOT NULL,
  last_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_gpu PRIMARY KEY (id),
  CONSTRAINT uq_gpu_uuid UNIQUE (uuid)
);

CREATE INDEX ix_gpu_host ON gpu (host);

CREATE INDEX ix_gpu_source ON gpu (source);

CREATE TABLE idempotency_key (
  actor VARCHAR NOT NULL,
  key VARCHAR NOT NULL,
  request_digest VARCHAR NOT NULL,
  status INTEGER NOT NULL,
  body VARCHAR NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_idempotency_key PRIMARY KEY (actor, key)
);

CREATE TABLE number_series (
  name VARCHAR NOT NULL,
  next BIGINT NOT NULL,
  CONSTRAINT pk_number_series PRIMARY KEY (name)
);

CREATE TABLE price_book (
  id BIGSERIAL NOT NULL,
  digest VARCHAR NOT NULL,
  content VARCHAR NOT NULL,
  applied_at TIMESTAMP WITH TIME ZONE NOT NULL,
  applied_by VARCHAR NOT NULL,
  CONSTRAINT pk_price_book PRIMARY KEY (id)
);

CREATE TABLE role (
  name VARCHAR NOT NULL,
  epoch BIGINT NOT NULL,
  holder VARCHAR NOT NULL,
  taken_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_role PRIMARY KEY (name)
);

CREATE TABLE sku (
  code VARCHAR NOT NULL,
  title VARCHAR NOT NULL,
  models TEXT[] NOT NULL,
  profile VARCHAR NOT NULL,
  CONSTRAINT pk_sku PRIMARY KEY (code)
);

CREATE TABLE source (
  id BIGSERIAL NOT NULL,
  name VARCHAR NOT NULL,
  type VARCHAR NOT NULL,
  since TIMESTAMP WITH TIME ZONE NOT NULL,
  failed_at TIMESTAMP WITH TIME ZONE,
  failure VARCHAR NOT NULL,
  CONSTRAINT pk_source PRIMARY KEY (id),
  CONSTRAINT uq_source_name UNIQUE (name)
);

CREATE TABLE tenant (
  id BIGSERIAL NOT NULL,
  slug VARCHAR NOT NULL,
  name VARCHAR NOT NULL,
  legal_name VARCHAR NOT NULL,
  country VARCHAR NOT NULL,
  email VARCHAR NOT NULL,
  attribution VARCHAR NOT NULL,
  reseller_id BIGINT,
  tolerance_units NUMERIC(78, 0) NOT NULL,
  terms_days INTEGER NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_tenant PRIMARY KEY (id),
  CONSTRAINT ck_tenant_attribution CHECK (attribution in ('lease', 'observed')),
  CONSTRAINT uq_tenant_slug UNIQUE (slug),
  CONSTRAINT fk_tenant_reseller_id FOREIGN KEY(reseller_id) REFERENCES tenant (id)
);

CREATE TABLE token (
  chain_id BIGINT NOT NULL,
  address VARCHAR NOT NULL,
  symbol VARCHAR NOT NULL,
  decimals INTEGER NOT NULL,
  currency VARCHAR NOT NULL,
  CONSTRAINT pk_token PRIMARY KEY (chain_id, address),
  CONSTRAINT uq_token_chain_id_symbol UNIQUE (chain_id, symbol)
);

CREATE TABLE trail (
  id BIGSERIAL NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  actor VARCHAR NOT NULL,
  action VARCHAR NOT NULL,
  subject VARCHAR NOT NULL,
  reason VARCHAR NOT NULL,
  details JSONB NOT NULL,
  CONSTRAINT pk_trail PRIMARY KEY (id)
);

CREATE INDEX ix_trail_at ON trail (at);

CREATE INDEX ix_trail_subject ON trail (subject);

CREATE TABLE transfer (
  id BIGSERIAL NOT NULL,
  chain_id BIGINT NOT NULL,
  block_hash VARCHAR NOT NULL,
  log_index BIGINT NOT NULL,
  block_number BIGINT NOT NULL,
  mined_at TIMESTAMP WITH TIME ZONE NOT NULL,
  tx_hash VARCHAR NOT NULL,
  token_address VARCHAR NOT NULL,
  from_address VARCHAR NOT NULL,
  to_address VARCHAR NOT NULL,
  units NUMERIC(78, 0) NOT NULL,
  state VARCHAR NOT NULL,
  incarnation INTEGER NOT NULL,
  seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
  state_at TIMESTAMP WITH TIME ZONE NOT NULL,
  settled BOOLEAN NOT NULL,
  CONSTRAINT pk_transfer PRIMARY KEY (id),
  CONSTRAINT uq_transfer_chain_id_block_hash_log_index UNIQUE (chain_id, block_hash, log_index),
  CONSTRAINT ck_transfer_state CHECK (state in ('seen', 'confirmed', 'final', 'orphaned'))
);

CREATE INDEX ix_transfer_block ON transfer (chain_id, block_number);

CREATE INDEX ix_transfer_from_address ON transfer (from_address);

CREATE INDEX ix_transfer_to_address ON transfer (to_address);

CREATE INDEX ix_transfer_tx_hash ON transfer (tx_hash);

CREATE UNIQUE INDEX uq_transfer_one_canonical ON transfer (chain_id, tx_hash, log_index) WHERE state <> 'orphaned';

CREATE TABLE wallet_generation (
  id BIGSERIAL NOT NULL,
  pin VARCHAR NOT NULL,
  mode VARCHAR NOT NULL,
  factory VARCHAR NOT NULL,
  implementation VARCHAR NOT NULL,
  init_code_hash VARCHAR NOT NULL,
  treasury VARCHAR NOT NULL,
  treasury_kind VARCHAR NOT NULL,
  flusher VARCHAR NOT NULL,
  next_index BIGINT NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_wallet_generation PRIMARY KEY (id),
  CONSTRAINT ck_wallet_generation_mode CHECK (mode in ('forwarder', 'xpub')),
  CONSTRAINT uq_wallet_generation_pin UNIQUE (pin)
);

CREATE TABLE accepted_chain (
  generation_id BIGINT NOT NULL,
  chain_id BIGINT NOT NULL,
  verified_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_accepted_chain PRIMARY KEY (generation_id, chain_id),
  CONSTRAINT fk_accepted_chain_generation_id FOREIGN KEY(generation_id) REFERENCES wallet_generation (id)
);

CREATE TABLE api_key (
  id BIGSERIAL NOT NULL,
  name VARCHAR NOT NULL,
  prefix VARCHAR NOT NULL,
  digest VARCHAR NOT NULL,
  role VARCHAR NOT NULL,
  tenant_id BIGINT,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  last_used_at TIMESTAMP WITH TIME ZONE,
  revoked_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_api_key PRIMARY KEY (id),
  CONSTRAINT ck_api_key_role CHECK (role in ('operator', 'finance', 'tenant', 'auditor')),
  CONSTRAINT ck_api_key_tenant CHECK ((role = 'tenant') = (tenant_id is not null)),
  CONSTRAINT uq_api_key_prefix UNIQUE (prefix),
  CONSTRAINT uq_api_key_digest UNIQUE (digest),
  CONSTRAINT fk_api_key_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id)
);

CREATE TABLE device (
  id BIGSERIAL NOT NULL,
  gpu_id BIGINT NOT NULL,
  gpu_i_id VARCHAR NOT NULL,
  profile VARCHAR NOT NULL,
  seat INT8RANGE NOT NULL,
  first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
  last_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_device PRIMARY KEY (id),
  CONSTRAINT uq_device_gpu_id_gpu_i_id_profile_first_seen_at UNIQUE (gpu_id, gpu_i_id, profile, first_seen_at),
  CONSTRAINT fk_device_gpu_id FOREIGN KEY(gpu_id) REFERENCES gpu (id)
);

CREATE TABLE exclusion (
  id BIGSERIAL NOT NULL,
  gpu_id BIGINT NOT NULL,
  during TSTZRANGE NOT NULL,
  reason VARCHAR NOT NULL,
  evidence VARCHAR NOT NULL,
  state VARCHAR NOT NULL,
  recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
  superseded_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_exclusion PRIMARY KEY (id),
  CONSTRAINT ck_exclusion_state CHECK (state in ('proposed', 'accepted', 'rejected')),
  CONSTRAINT fk_exclusion_gpu_id FOREIGN KEY(gpu_id) REFERENCES gpu (id)
);

CREATE INDEX ix_exclusion_during ON exclusion USING gist (during) WHERE superseded_at is null;

CREATE INDEX ix_exclusion_gpu_id ON exclusion (gpu_id);

CREATE TABLE invoice (
  id BIGSERIAL NOT NULL,
  number VARCHAR NOT NULL,
  series VARCHAR NOT NULL,
  tenant_id BIGINT NOT NULL,
  period TSTZRANGE NOT NULL,
  currency VARCHAR NOT NULL,
  exponent INTEGER NOT NULL,
  total NUMERIC(78, 0) NOT NULL,
  credits NUMERIC(78, 0) NOT NULL,
  amount_due NUMERIC(78, 0) NOT NULL,
  status VARCHAR NOT NULL,
  issued_at TIMESTAMP WITH TIME ZONE NOT NULL,
  due_at TIMESTAMP WITH TIME ZONE NOT NULL,
  document BYTEA NOT NULL,
  digest VARCHAR NOT NULL,
  pay_token VARCHAR NOT NULL,
  replaces_id BIGINT,
  status_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_invoice PRIMARY KEY (id),
  CONSTRAINT ck_invoice_status CHECK (status in ('open', 'paid', 'void', 'uncollectible')),
  CONSTRAINT ck_invoice_amount_due CHECK (amount_due = total - credits and amount_due >= 0),
  CONSTRAINT uq_invoice_number UNIQUE (number),
  CONSTRAINT fk_invoice_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id),
  CONSTRAINT uq_invoice_digest UNIQUE (digest),
  CONSTRAINT uq_invoice_pay_token UNIQUE (pay_token),
  CONSTRAINT fk_invoice_replaces_id FOREIGN KEY(replaces_id) REFERENCES invoice (id)
);

CREATE INDEX ix_invoice_status ON invoice (status);

CREATE INDEX ix_invoice_tenant_id ON invoice (tenant_id);

CREATE UNIQUE INDEX uq_invoice_one_per_period ON invoice (tenant_id, period) WHERE status <> 'void';

CREATE TABLE lease (
  id BIGSERIAL NOT NULL,
  reference VARCHAR NOT NULL,
  tenant_id BIGINT NOT NULL,
  gpu_id BIGINT NOT NULL,
  seat INT8RANGE NOT NULL,
  during TSTZRANGE NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  cancelled_at TIMESTAMP WITH TIME ZONE,
  changed TSTZRANGE,
  CONSTRAINT pk_lease PRIMARY KEY (id),
  CONSTRAINT ex_lease_one_holder EXCLUDE USING gist (seat WITH &&, during WITH &&) WHERE (cancelled_at is null),
  CONSTRAINT fk_lease_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id),
  CONSTRAINT fk_lease_gpu_id FOREIGN KEY(gpu_id) REFERENCES gpu (id)
);

CREATE INDEX ix_lease_reference ON lease (reference);

CREATE INDEX ix_lease_tenant_id ON lease (tenant_id);

CREATE TABLE price (
  id BIGSERIAL NOT NULL,
  book_id BIGINT NOT NULL,
  sku VARCHAR NOT NULL,
  currency VARCHAR NOT NULL,
  exponent INTEGER NOT NULL,
  per_hour NUMERIC(38, 18) NOT NULL,
  during TSTZRANGE NOT NULL,
  superseded_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_price PRIMARY KEY (id),
  CONSTRAINT ex_price_one_price EXCLUDE USING gist (int8range(hashtextextended(sku, 0), hashtextextended(sku, 0), '[]') WITH &&, during WITH &&) WHERE (superseded_at is null),
  CONSTRAINT ck_price_not_negative CHECK (per_hour >= 0),
  CONSTRAINT fk_price_book_id FOREIGN KEY(book_id) REFERENCES price_book (id),
  CONSTRAINT fk_price_sku FOREIGN KEY(sku) REFERENCES sku (code)
);

CREATE TABLE reading (
  id BIGSERIAL NOT NULL,
  source_id BIGINT NOT NULL,
  during TSTZRANGE NOT NULL,
  digest VARCHAR NOT NULL,
  status VARCHAR NOT NULL,
  reason VARCHAR NOT NULL,
  samples BIGINT NOT NULL,
  present_seconds BIGINT NOT NULL,
  missing_seconds BIGINT NOT NULL,
  blind_seconds BIGINT NOT NULL,
  rereads INTEGER NOT NULL,
  read_at TIMESTAMP WITH TIME ZONE NOT NULL,
  superseded_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_reading PRIMARY KEY (id),
  CONSTRAINT ck_reading_status CHECK (status in ('complete', 'partial', 'empty')),
  CONSTRAINT fk_reading_source_id FOREIGN KEY(source_id) REFERENCES source (id)
);

CREATE UNIQUE INDEX uq_reading_one_current ON reading (source_id, lower(during)) WHERE superseded_at is null;

CREATE TABLE scrape_run (
  id BIGSERIAL NOT NULL,
  source_id BIGINT NOT NULL,
  instance VARCHAR NOT NULL,
  uuid VARCHAR NOT NULL,
  gpu_i_id VARCHAR NOT NULL,
  profile VARCHAR NOT NULL,
  model VARCHAR NOT NULL,
  host VARCHAR NOT NULL,
  labels VARCHAR NOT NULL,
  first_ms BIGINT NOT NULL,
  last_ms BIGINT NOT NULL,
  samples BIGINT NOT NULL,
  CONSTRAINT pk_scrape_run PRIMARY KEY (id),
  CONSTRAINT uq_scrape_run_source_id_instance_uuid_gpu_i_id_profile__e96d UNIQUE (source_id, instance, uuid, gpu_i_id, profile, labels, first_ms),
  CONSTRAINT fk_scrape_run_source_id FOREIGN KEY(source_id) REFERENCES source (id)
);

CREATE INDEX ix_scrape_run_window ON scrape_run (source_id, first_ms);

CREATE TABLE tenant_claim (
  id BIGSERIAL NOT NULL,
  tenant_id BIGINT NOT NULL,
  source VARCHAR NOT NULL,
  label VARCHAR NOT NULL,
  during TSTZRANGE NOT NULL,
  derived_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_tenant_claim PRIMARY KEY (id),
  CONSTRAINT ex_tenant_claim_one_tenant EXCLUDE USING gist (int8range(hashtextextended(source || chr(10) || label, 0), hashtextextended(source || chr(10) || label, 0), '[]') WITH &&, during WITH &&),
  CONSTRAINT fk_tenant_claim_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id)
);

CREATE INDEX ix_tenant_claim_tenant_id ON tenant_claim (tenant_id);

CREATE TABLE tenant_credit (
  id BIGSERIAL NOT NULL,
  tenant_id BIGINT NOT NULL,
  kind VARCHAR NOT NULL,
  currency VARCHAR NOT NULL,
  units NUMERIC(78, 0) NOT NULL,
  reference VARCHAR NOT NULL,
  transfer_id BIGINT,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  final_at TIMESTAMP WITH TIME ZONE,
  reversed_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_tenant_credit PRIMARY KEY (id),
  CONSTRAINT ck_tenant_credit_kind CHECK (kind in ('promotional', 'prepaid', 'overpayment')),
  CONSTRAINT ck_tenant_credit_positive CHECK (units > 0),
  CONSTRAINT fk_tenant_credit_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id),
  CONSTRAINT fk_tenant_credit_transfer_id FOREIGN KEY(transfer_id) REFERENCES transfer (id)
);

CREATE INDEX ix_tenant_credit_tenant_id ON tenant_credit (tenant_id);

CREATE INDEX ix_tenant_credit_transfer_id ON tenant_credit (transfer_id);

CREATE TABLE charge (
  id BIGSERIAL NOT NULL,
  invoice_id BIGINT NOT NULL,
  position INTEGER NOT NULL,
  tenant_id BIGINT NOT NULL,
  device_id BIGINT,
  sku VARCHAR NOT NULL,
  unit_price NUMERIC(38, 18) NOT NULL,
  currency VARCHAR NOT NULL,
  during TSTZRANGE NOT NULL,
  seconds BIGINT NOT NULL,
  amount NUMERIC(78, 0) NOT NULL,
  kind VARCHAR NOT NULL,
  usage_digest VARCHAR NOT NULL,
  CONSTRAINT pk_charge PRIMARY KEY (id),
  CONSTRAINT ck_charge_kind CHECK (kind in ('usage', 'cancel')),
  CONSTRAINT fk_charge_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoice (id),
  CONSTRAINT fk_charge_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id),
  CONSTRAINT fk_charge_device_id FOREIGN KEY(device_id) REFERENCES device (id)
);

CREATE INDEX ix_charge_invoice_id ON charge (invoice_id);

CREATE INDEX ix_charge_tenant_id ON charge (tenant_id);

CREATE TABLE credit_note (
  id BIGSERIAL NOT NULL,
  number VARCHAR NOT NULL,
  invoice_id BIGINT NOT NULL,
  total NUMERIC(78, 0) NOT NULL,
  reason VARCHAR NOT NULL,
  document BYTEA NOT NULL,
  digest VARCHAR NOT NULL,
  issued_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_credit_note PRIMARY KEY (id),
  CONSTRAINT uq_credit_note_number UNIQUE (number),
  CONSTRAINT fk_credit_note_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoice (id),
  CONSTRAINT uq_credit_note_digest UNIQUE (digest)
);

CREATE INDEX ix_credit_note_invoice_id ON credit_note (invoice_id);

CREATE TABLE credit_use (
  id BIGSERIAL NOT NULL,
  credit_id BIGINT NOT NULL,
  invoice_id BIGINT NOT NULL,
  units NUMERIC(78, 0) NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_credit_use PRIMARY KEY (id),
  CONSTRAINT fk_credit_use_credit_id FOREIGN KEY(credit_id) REFERENCES tenant_credit (id),
  CONSTRAINT fk_credit_use_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoice (id)
);

CREATE INDEX ix_credit_use_credit_id ON credit_use (credit_id);

CREATE INDEX ix_credit_use_invoice_id ON credit_use (invoice_id);

CREATE TABLE entry (
  id BIGSERIAL NOT NULL,
  kind VARCHAR NOT NULL,
  booked_on DATE NOT NULL,
  happened_at TIMESTAMP WITH TIME ZONE NOT NULL,
  invoice_id BIGINT,
  transfer_id BIGINT,
  incarnation INTEGER,
  reverses_id BIGINT,
  memo VARCHAR NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_entry PRIMARY KEY (id),
  CONSTRAINT fk_entry_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoice (id),
  CONSTRAINT fk_entry_transfer_id FOREIGN KEY(transfer_id) REFERENCES transfer (id),
  CONSTRAINT fk_entry_reverses_id FOREIGN KEY(reverses_id) REFERENCES entry (id)
);

CREATE INDEX ix_entry_invoice_id ON entry (invoice_id);

CREATE UNIQUE INDEX uq_entry_once_per_invoice ON entry (invoice_id, kind) WHERE transfer_id is null and kind in ('issue', 'credit');

CREATE UNIQUE INDEX uq_entry_once_per_transfer ON entry (transfer_id, incarnation, kind) WHERE transfer_id is not null;

CREATE UNIQUE INDEX uq_entry_reversed_once ON entry (reverses_id) WHERE reverses_id is not null;

CREATE TABLE exception (
  id BIGSERIAL NOT NULL,
  kind VARCHAR NOT NULL,
  subject VARCHAR NOT NULL,
  transfer_id BIGINT,
  invoice_id BIGINT,
  tenant_id BIGINT,
  detail VARCHAR NOT NULL,
  suggestion VARCHAR NOT NULL,
  status VARCHAR NOT NULL,
  resolution VARCHAR NOT NULL,
  reason VARCHAR NOT NULL,
  resolved_by VARCHAR NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  resolved_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_exception PRIMARY KEY (id),
  CONSTRAINT ck_exception_status CHECK (status in ('open', 'resolved')),
  CONSTRAINT fk_exception_transfer_id FOREIGN KEY(transfer_id) REFERENCES transfer (id),
  CONSTRAINT fk_exception_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoice (id),
  CONSTRAINT fk_exception_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id)
);

CREATE INDEX ix_exception_invoice_id ON exception (invoice_id);

CREATE INDEX ix_exception_tenant_id ON exception (tenant_id);

CREATE INDEX ix_exception_transfer_id ON exception (transfer_id);

CREATE UNIQUE INDEX uq_exception_one_open ON exception (kind, subject) WHERE status = 'open';

CREATE TABLE invoice_line (
  id BIGSERIAL NOT NULL,
  invoice_id BIGINT NOT NULL,
  position INTEGER NOT NULL,
  tenant_id BIGINT NOT NULL,
  sku VARCHAR NOT NULL,
  description VARCHAR NOT NULL,
  during TSTZRANGE NOT NULL,
  quantity_seconds BIGINT NOT NULL,
  unit_price NUMERIC(38, 18) NOT NULL,
  amount NUMERIC(78, 0) NOT NULL,
  measured_seconds BIGINT NOT NULL,
  excluded JSONB NOT NULL,
  usage_digest VARCHAR NOT NULL,
  CONSTRAINT pk_invoice_line PRIMARY KEY (id),
  CONSTRAINT uq_invoice_line_invoice_id_position UNIQUE (invoice_id, position),
  CONSTRAINT fk_invoice_line_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoice (id),
  CONSTRAINT fk_invoice_line_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id)
);

CREATE TABLE observation (
  id BIGSERIAL NOT NULL,
  source_id BIGINT NOT NULL,
  device_id BIGINT NOT NULL,
  during TSTZRANGE NOT NULL,
  state VARCHAR NOT NULL,
  labels TEXT[] NOT NULL,
  reason VARCHAR NOT NULL,
  recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
  superseded_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_observation PRIMARY KEY (id),
  CONSTRAINT ck_observation_state CHECK (state in ('present', 'missing', 'blind')),
  CONSTRAINT fk_observation_source_id FOREIGN KEY(source_id) REFERENCES source (id),
  CONSTRAINT fk_observation_device_id FOREIGN KEY(device_id) REFERENCES device (id)
);

CREATE INDEX ix_observation_device ON observation (device_id, lower(during)) WHERE superseded_at is null;

CREATE INDEX ix_observation_during ON observation USING gist (during) WHERE superseded_at is null;

CREATE TABLE payment (
  id BIGSERIAL NOT NULL,
  transfer_id BIGINT NOT NULL,
  incarnation INTEGER NOT NULL,
  invoice_id BIGINT,
  tenant_id BIGINT,
  disposition VARCHAR NOT NULL,
  kind VARCHAR NOT NULL,
  late BOOLEAN NOT NULL,
  currency VARCHAR NOT NULL,
  value_units NUMERIC(78, 0) NOT NULL,
  applied_units NUMERIC(78, 0) NOT NULL,
  credited_units NUMERIC(78, 0) NOT NULL,
  written_off_units NUMERIC(78, 0) NOT NULL,
  rate NUMERIC(38, 18),
  rate_source VARCHAR NOT NULL,
  reason VARCHAR NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_payment PRIMARY KEY (id),
  CONSTRAINT uq_payment_transfer_id_incarnation UNIQUE (transfer_id, incarnation),
  CONSTRAINT fk_payment_transfer_id FOREIGN KEY(transfer_id) REFERENCES transfer (id),
  CONSTRAINT fk_payment_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoice (id),
  CONSTRAINT fk_payment_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id)
);

CREATE INDEX ix_payment_disposition ON payment (disposition);

CREATE INDEX ix_payment_invoice_id ON payment (invoice_id);

CREATE INDEX ix_payment_tenant_id ON payment (tenant_id);

CREATE TABLE payment_address (
  id BIGSERIAL NOT NULL,
  address VARCHAR NOT NULL,
  kind VARCHAR NOT NULL,
  generation_id BIGINT NOT NULL,
  invoice_id BIGINT,
  salt VARCHAR NOT NULL,
  hd_index BIGINT,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_payment_address PRIMARY KEY (id),
  CONSTRAINT uq_payment_address_generation_id_hd_index UNIQUE (generation_id, hd_index),
  CONSTRAINT ck_payment_address_kind CHECK (kind in ('invoice', 'treasury', 'unissued')),
  CONSTRAINT uq_payment_address_address UNIQUE (address),
  CONSTRAINT fk_payment_address_generation_id FOREIGN KEY(generation_id) REFERENCES wallet_generation (id),
  CONSTRAINT fk_payment_address_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoice (id)
);

CREATE INDEX ix_payment_address_invoice_id ON payment_address (invoice_id);

CREATE TABLE usage (
  id BIGSERIAL NOT NULL,
  tenant_id BIGINT NOT NULL,
  device_id BIGINT NOT NULL,
  seat INT8RANGE NOT NULL,
  during TSTZRANGE NOT NULL,
  basis VARCHAR NOT NULL,
  lease_id BIGINT,
  source_id BIGINT,
  recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
  superseded_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_usage PRIMARY KEY (id),
  CONSTRAINT ex_usage_one_payer EXCLUDE USING gist (seat WITH &&, during WITH &&) WHERE (superseded_at is null),
  CONSTRAINT ck_usage_basis CHECK ((basis = 'lease') = (lease_id is not null)),
  CONSTRAINT fk_usage_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id),
  CONSTRAINT fk_usage_device_id FOREIGN KEY(device_id) REFERENCES device (id),
  CONSTRAINT fk_usage_lease_id FOREIGN KEY(lease_id) REFERENCES lease (id),
  CONSTRAINT fk_usage_source_id FOREIGN KEY(source_id) REFERENCES source (id)
);

CREATE INDEX ix_usage_device ON usage (device_id, lower(during)) WHERE superseded_at is null;

CREATE INDEX ix_usage_tenant ON usage (tenant_id, lower(during)) WHERE superseded_at is null;

CREATE TABLE posting (
  id BIGSERIAL NOT NULL,
  entry_id BIGINT NOT NULL,
  account VARCHAR NOT NULL,
  asset VARCHAR NOT NULL,
  units NUMERIC(78, 0) NOT NULL,
  tenant_id BIGINT,
  invoice_id BIGINT,
  CONSTRAINT pk_posting PRIMARY KEY (id),
  CONSTRAINT ck_posting_not_zero CHECK (units <> 0),
  CONSTRAINT fk_posting_entry_id FOREIGN KEY(entry_id) REFERENCES entry (id),
  CONSTRAINT fk_posting_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id),
  CONSTRAINT fk_posting_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoice (id)
);

CREATE INDEX ix_posting_account ON posting (account);

CREATE INDEX ix_posting_entry_id ON posting (entry_id);

CREATE INDEX ix_posting_invoice_id ON posting (invoice_id);

CREATE FUNCTION guard_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION guard_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION '% is never deleted', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
  END IF;
  IF (to_jsonb(NEW) - TG_ARGV) IS DISTINCT FROM (to_jsonb(OLD) - TG_ARGV) THEN
    RAISE EXCEPTION '% is frozen but for %', TG_TABLE_NAME, array_to_string(TG_ARGV, ', ')
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;

CREATE FUNCTION guard_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.superseded_at IS NOT NULL THEN
    RAISE EXCEPTION 'a superseded % is frozen', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
  END IF;
  IF lower(NEW.during) <> lower(OLD.during) OR upper(NEW.during) < upper(OLD.during) THEN
    RAISE EXCEPTION 'a run of % only grows at its end; supersede it instead', TG_TABLE_NAME
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;

CREATE FUNCTION guard_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE checked bigint; wrong text;
BEGIN
  checked := CASE TG_TABLE_NAME WHEN 'entry' THEN (to_jsonb(NEW) ->> 'id')::bigint
                                ELSE (to_jsonb(NEW) ->> 'entry_id')::bigint END;
  IF NOT EXISTS (SELECT 1 FROM posting WHERE entry_id = checked) THEN
    RAISE EXCEPTION 'entry % has no postings', checked USING ERRCODE = 'restrict_violation';
  END IF;
  SELECT string_agg(asset, ', ') INTO wrong
    FROM (SELECT asset FROM posting WHERE entry_id = checked GROUP BY asset HAVING sum(units) <> 0) AS unbalanced;
  IF wrong IS NOT NULL THEN
    RAISE EXCEPTION 'entry % does not balance in %', checked, wrong USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON trail FOR EACH ROW EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON charge FOR EACH ROW EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON credit_note FOR EACH ROW EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON credit_use FOR EACH ROW EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON entry FOR EACH ROW EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON posting FOR EACH ROW EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON invoice_line FOR EACH ROW EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON price_book FOR EACH ROW EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON payment_address FOR EACH ROW EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON accepted_chain FOR EACH ROW EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON trail FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON charge FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON credit_note FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON credit_use FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON entry FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON posting FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON invoice_line FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON price_book FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON payment_address FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON accepted_chain FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON usage FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON observation FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON reading FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON exclusion FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON price FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON invoice FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON wallet_generation FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON transfer FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON tenant_credit FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON usage FOR EACH ROW EXECUTE FUNCTION guard_frozen('during', 'superseded_at');

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON observation FOR EACH ROW EXECUTE FUNCTION guard_frozen('during', 'superseded_at');

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON reading FOR EACH ROW EXECUTE FUNCTION guard_frozen('rereads', 'read_at', 'superseded_at');

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON exclusion FOR EACH ROW EXECUTE FUNCTION guard_frozen('during', 'state', 'superseded_at');

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON price FOR EACH ROW EXECUTE FUNCTION guard_frozen('superseded_at');

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON invoice FOR EACH ROW EXECUTE FUNCTION guard_frozen('status', 'status_at');

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON wallet_generation FOR EACH ROW EXECUTE FUNCTION guard_frozen('next_index');

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON transfer FOR EACH ROW EXECUTE FUNCTION guard_frozen('state', 'incarnation', 'state_at', 'settled');

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON tenant_credit FOR EACH ROW EXECUTE FUNCTION guard_frozen('final_at', 'reversed_at');

CREATE TRIGGER run_grows BEFORE UPDATE ON usage FOR EACH ROW EXECUTE FUNCTION guard_run();

CREATE TRIGGER run_grows BEFORE UPDATE ON observation FOR EACH ROW EXECUTE FUNCTION guard_run();

CREATE TRIGGER run_grows BEFORE UPDATE ON exclusion FOR EACH ROW EXECUTE FUNCTION guard_run();

CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON entry DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION guard_balance();

CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON posting DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION guard_balance();
