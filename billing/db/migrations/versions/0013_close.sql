CREATE TABLE book_close (
  id BIGSERIAL NOT NULL,
  period VARCHAR NOT NULL,
  first_day DATE NOT NULL,
  closed_before DATE NOT NULL,
  closed_at TIMESTAMP WITH TIME ZONE NOT NULL,
  closed_by VARCHAR NOT NULL,
  carried JSONB NOT NULL,
  CONSTRAINT pk_book_close PRIMARY KEY (id),
  CONSTRAINT ck_book_close_span CHECK (closed_before > first_day),
  CONSTRAINT uq_book_close_period UNIQUE (period)
);

CREATE INDEX ix_book_close_closed_before ON book_close (closed_before);

CREATE TABLE closed_file (
  id BIGSERIAL NOT NULL,
  close_id BIGINT NOT NULL,
  name VARCHAR NOT NULL,
  sha256 VARCHAR NOT NULL,
  size BIGINT NOT NULL,
  CONSTRAINT pk_closed_file PRIMARY KEY (id),
  CONSTRAINT fk_closed_file_close_id FOREIGN KEY(close_id) REFERENCES book_close (id)
);

CREATE INDEX ix_closed_file_close_id ON closed_file (close_id);

CREATE FUNCTION guard_closed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM book_close WHERE closed_before > NEW.booked_on) THEN
    RAISE EXCEPTION 'the books of % are closed', to_char(NEW.booked_on, 'YYYY-MM') USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON book_close FOR EACH ROW EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON closed_file FOR EACH ROW EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON book_close FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON closed_file FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only();

CREATE TRIGGER open_month BEFORE INSERT ON entry FOR EACH ROW EXECUTE FUNCTION guard_closed();
