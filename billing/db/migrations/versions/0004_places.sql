CREATE TABLE place (
  id BIGSERIAL NOT NULL,
  gpu_id BIGINT NOT NULL,
  source VARCHAR NOT NULL,
  host VARCHAR NOT NULL,
  instance VARCHAR NOT NULL,
  during TSTZRANGE NOT NULL,
  CONSTRAINT pk_place PRIMARY KEY (id),
  CONSTRAINT fk_place_gpu_id FOREIGN KEY(gpu_id) REFERENCES gpu (id)
);

CREATE INDEX ix_place_end ON place (gpu_id, upper(during));

CREATE UNIQUE INDEX uq_place_start ON place (gpu_id, source, lower(during));

INSERT INTO place (gpu_id, source, host, instance, during)
  SELECT id, source, host, instance, tstzrange(lower(in_service), last_seen_at) FROM gpu WHERE lower(in_service) < last_seen_at;
