ALTER TABLE book_close ADD COLUMN charged_until BIGINT;
ALTER TABLE book_close ADD COLUMN charges BIGINT;
ALTER TABLE book_close ADD COLUMN usage_digest VARCHAR;
ALTER TABLE book_close ADD CONSTRAINT ck_book_close_usage CHECK (num_nulls(charged_until, charges, usage_digest) in (0, 3));

CREATE INDEX ix_charge_start ON charge (lower(during));
