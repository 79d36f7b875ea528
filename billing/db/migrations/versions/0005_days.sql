CREATE TABLE conserved_day (
  day TIMESTAMP WITH TIME ZONE NOT NULL,
  changes BIGINT NOT NULL,
  stored BIGINT,
  CONSTRAINT pk_conserved_day PRIMARY KEY (day)
);

CREATE TABLE gpu_day (
  day TIMESTAMP WITH TIME ZONE NOT NULL,
  gpu_id BIGINT NOT NULL,
  host VARCHAR NOT NULL,
  source VARCHAR NOT NULL,
  whole BIGINT NOT NULL,
  billed BIGINT NOT NULL,
  excluded BIGINT NOT NULL,
  disputed BIGINT NOT NULL,
  idle BIGINT NOT NULL,
  unattributed BIGINT NOT NULL,
  missing BIGINT NOT NULL,
  blind BIGINT NOT NULL,
  unread BIGINT NOT NULL,
  CONSTRAINT pk_gpu_day PRIMARY KEY (day, gpu_id),
  CONSTRAINT fk_gpu_day_gpu_id FOREIGN KEY(gpu_id) REFERENCES gpu (id)
);

CREATE INDEX ix_gpu_day_gpu_id ON gpu_day (gpu_id);

INSERT INTO conserved_day (day, changes)
  SELECT DISTINCT date_trunc('day', lower(during), 'UTC'), 1 FROM reading WHERE superseded_at IS NULL;
