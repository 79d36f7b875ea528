CREATE TABLE sanctions_list (
  id BIGSERIAL NOT NULL,
  name VARCHAR NOT NULL,
  digest VARCHAR NOT NULL,
  addresses TEXT[] NOT NULL,
  dated TIMESTAMP WITH TIME ZONE NOT NULL,
  stale_after_days INTEGER NOT NULL,
  problem VARCHAR NOT NULL,
  read_at TIMESTAMP WITH TIME ZONE NOT NULL,
  looked_back_at TIMESTAMP WITH TIME ZONE,
  dropped_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_sanctions_list PRIMARY KEY (id)
);

CREATE INDEX ix_sanctions_list_name ON sanctions_list (name, id);

CREATE TABLE screening (
  id BIGSERIAL NOT NULL,
  transfer_id BIGINT NOT NULL,
  incarnation INTEGER NOT NULL,
  sender VARCHAR NOT NULL,
  signer VARCHAR NOT NULL,
  hit VARCHAR NOT NULL,
  screened_by TEXT[] NOT NULL,
  screened_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_screening PRIMARY KEY (id),
  CONSTRAINT uq_screening_transfer_id_incarnation UNIQUE (transfer_id, incarnation),
  CONSTRAINT fk_screening_transfer_id FOREIGN KEY(transfer_id) REFERENCES transfer (id)
);

CREATE INDEX ix_screening_sender ON screening (sender);

CREATE INDEX ix_screening_signer ON screening (signer);

CREATE TABLE kyc (
  id BIGSERIAL NOT NULL,
  tenant_id BIGINT NOT NULL,
  status VARCHAR NOT NULL,
  decided_on DATE NOT NULL,
  reason VARCHAR NOT NULL,
  recorded_by VARCHAR NOT NULL,
  recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_kyc PRIMARY KEY (id),
  CONSTRAINT ck_kyc_status CHECK (status in ('none', 'pending', 'verified', 'rejected')),
  CONSTRAINT fk_kyc_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id)
);

CREATE INDEX ix_kyc_tenant_id ON kyc (tenant_id);

CREATE TABLE attestation (
  id BIGSERIAL NOT NULL,
  tenant_id BIGINT NOT NULL,
  kind VARCHAR NOT NULL,
  granted_on DATE NOT NULL,
  expires_on DATE NOT NULL,
  reference VARCHAR NOT NULL,
  recorded_by VARCHAR NOT NULL,
  recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
  revoked_at TIMESTAMP WITH TIME ZONE,
  revoked_by VARCHAR NOT NULL,
  revoked_reason VARCHAR NOT NULL,
  CONSTRAINT pk_attestation PRIMARY KEY (id),
  CONSTRAINT ck_attestation_span CHECK (granted_on < expires_on),
  CONSTRAINT fk_attestation_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id)
);

CREATE INDEX ix_attestation_tenant_id ON attestation (tenant_id);

CREATE UNIQUE INDEX uq_attestation_reference ON attestation (tenant_id, kind, reference) WHERE revoked_at is null;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON screening FOR EACH ROW EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON kyc FOR EACH ROW EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON screening FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON kyc FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON sanctions_list FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON attestation FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON sanctions_list FOR EACH ROW EXECUTE FUNCTION guard_frozen('dated', 'stale_after_days', 'problem', 'looked_back_at', 'dropped_at');

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON attestation FOR EACH ROW EXECUTE FUNCTION guard_frozen('revoked_at', 'revoked_by', 'revoked_reason');
