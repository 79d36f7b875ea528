CREATE TABLE notice (
  id BIGSERIAL NOT NULL,
  message_id VARCHAR NOT NULL,
  type VARCHAR NOT NULL,
  subject VARCHAR NOT NULL,
  tenant_id BIGINT,
  once VARCHAR,
  content BYTEA NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  spread_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_notice PRIMARY KEY (id),
  CONSTRAINT uq_notice_message_id UNIQUE (message_id),
  CONSTRAINT fk_notice_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenant (id),
  CONSTRAINT uq_notice_once UNIQUE (once)
);

CREATE INDEX ix_notice_tenant_id ON notice (tenant_id);

CREATE INDEX ix_notice_unspread ON notice (id) WHERE spread_at is null;

CREATE TABLE delivery (
  id BIGSERIAL NOT NULL,
  notice_id BIGINT NOT NULL,
  receiver VARCHAR NOT NULL,
  state VARCHAR NOT NULL,
  attempts INTEGER NOT NULL,
  due_at TIMESTAMP WITH TIME ZONE NOT NULL,
  answer VARCHAR NOT NULL,
  done_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_delivery PRIMARY KEY (id),
  CONSTRAINT uq_delivery_notice_id_receiver UNIQUE (notice_id, receiver),
  CONSTRAINT ck_delivery_state CHECK (state in ('waiting', 'delivered', 'dead')),
  CONSTRAINT fk_delivery_notice_id FOREIGN KEY(notice_id) REFERENCES notice (id)
);

CREATE INDEX ix_delivery_waiting ON delivery (receiver, due_at) WHERE state = 'waiting';

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON notice FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON delivery FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON notice FOR EACH ROW EXECUTE FUNCTION guard_frozen('spread_at');

CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON delivery FOR EACH ROW EXECUTE FUNCTION guard_frozen('state', 'attempts', 'due_at', 'answer', 'done_at');
