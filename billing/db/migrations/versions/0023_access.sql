CREATE TABLE contact (
  id BIGSERIAL NOT NULL,
  tenant_id BIGINT NOT NULL,
  name VARCHAR NOT NULL,
  email VARCHAR NOT NULL,
  added_by VARCHAR NOT NULL,
  added_at TIMESTAMP WITH TIME ZONE NOT NULL,
  removed_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_contact PRIMARY KEY (id),
  CONSTRAINT fk_contact_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id)
);

CREATE INDEX ix_contact_tenant_id ON contact (tenant_id);

CREATE UNIQUE INDEX uq_contact_one ON contact (tenant_id, lower(email)) WHERE removed_at is null;

CREATE TABLE login_ask (
  id BIGSERIAL NOT NULL,
  tenant_id BIGINT,
  owner_id BIGINT,
  name VARCHAR NOT NULL,
  email VARCHAR NOT NULL,
  asked_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_login_ask PRIMARY KEY (id),
  CONSTRAINT ck_login_ask_whose CHECK ((tenant_id is null) <> (owner_id is null)),
  CONSTRAINT fk_login_ask_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id),
  CONSTRAINT fk_login_ask_owner_id FOREIGN KEY(owner_id) REFERENCES owner (id)
);

CREATE INDEX ix_login_ask_email ON login_ask (lower(email), asked_at);

CREATE TABLE login_link (
  id BIGSERIAL NOT NULL,
  prefix VARCHAR NOT NULL,
  digest VARCHAR NOT NULL,
  name VARCHAR NOT NULL,
  role VARCHAR NOT NULL,
  tenant_id BIGINT,
  owner_id BIGINT,
  email VARCHAR NOT NULL,
  issued_by VARCHAR NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
  used_at TIMESTAMP WITH TIME ZONE,
  revoked_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_login_link PRIMARY KEY (id),
  CONSTRAINT ck_login_link_role CHECK (role in ('operator', 'finance', 'tenant', 'auditor', 'owner')),
  CONSTRAINT ck_login_link_tenant CHECK ((role = 'tenant') = (tenant_id is not null)),
  CONSTRAINT ck_login_link_owner CHECK ((role = 'owner') = (owner_id is not null)),
  CONSTRAINT uq_login_link_prefix UNIQUE (prefix),
  CONSTRAINT uq_login_link_digest UNIQUE (digest),
  CONSTRAINT fk_login_link_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id),
  CONSTRAINT fk_login_link_owner_id FOREIGN KEY(owner_id) REFERENCES owner (id)
);

CREATE TABLE login_session (
  id BIGSERIAL NOT NULL,
  prefix VARCHAR NOT NULL,
  digest VARCHAR NOT NULL,
  link_id BIGINT NOT NULL,
  name VARCHAR NOT NULL,
  role VARCHAR NOT NULL,
  tenant_id BIGINT,
  owner_id BIGINT,
  email VARCHAR NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
  expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
  ended_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_login_session PRIMARY KEY (id),
  CONSTRAINT ck_login_session_role CHECK (role in ('operator', 'finance', 'tenant', 'auditor', 'owner')),
  CONSTRAINT ck_login_session_tenant CHECK ((role = 'tenant') = (tenant_id is not null)),
  CONSTRAINT ck_login_session_owner CHECK ((role = 'owner') = (owner_id is not null)),
  CONSTRAINT uq_login_session_prefix UNIQUE (prefix),
  CONSTRAINT uq_login_session_digest UNIQUE (digest),
  CONSTRAINT fk_login_session_link_id FOREIGN KEY(link_id) REFERENCES login_link (id),
  CONSTRAINT fk_login_session_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id),
  CONSTRAINT fk_login_session_owner_id FOREIGN KEY(owner_id) REFERENCES owner (id)
);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON login_ask FOR EACH ROW EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON login_ask FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON contact FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON login_link FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON login_session FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON contact FOR EACH ROW EXECUTE FUNCTION guard_frozen('removed_at');

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON login_link FOR EACH ROW EXECUTE FUNCTION guard_frozen('used_at', 'revoked_at');

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON login_session FOR EACH ROW EXECUTE FUNCTION guard_frozen('seen_at', 'ended_at');

ALTER TABLE api_key
  ADD COLUMN owner_id BIGINT,
  DROP CONSTRAINT ck_api_key_role,
  ADD CONSTRAINT ck_api_key_role CHECK (role in ('operator', 'finance', 'tenant', 'auditor', 'gateway', 'owner')),
  ADD CONSTRAINT ck_api_key_owner CHECK ((role = 'owner') = (owner_id is not null)),
  ADD CONSTRAINT fk_api_key_owner_id FOREIGN KEY(owner_id) REFERENCES owner (id);
