"""Rules that the database enforces by triggers: what is frozen, what only grows, what balances.

The DDL here is what a new database gets; migrations carry their own frozen copy, and a test compares the two.
"""

from typing import Final

APPEND_ONLY: Final = (
    "trail",
    "charge",
    "credit_note",
    "credit_note_line",
    "credit_use",
    "tenant_tax_term",
    "entry",
    "posting",
    "invoice_line",
    "price_book",
    "payment_address",
    "accepted_chain",
    "event",
    "quote",
    "book_close",
    "closed_file",
    "spot_rate",
    "owner_fee",
    "owner_settlement",
    "owner_settlement_line",
    "deposit_document",
    "screening",
    "kyc",
    "login_ask",
)

FROZEN_EXCEPT: Final[dict[str, tuple[str, ...]]] = {
    "usage": ("during", "superseded_at"),
    "observation": ("during", "superseded_at"),
    "reading": ("rereads", "read_at", "superseded_at"),
    "exclusion": ("during", "state", "superseded_at"),
    "chain_doubt": ("cleared_at",),
    "dispute": ("during", "superseded_at", "asked"),
    "maintenance": ("during", "cancelled_at"),
    "tenant_gap_term": ("derived_at",),
    "price": ("superseded_at",),
    "agreement": ("superseded_at",),
    "invoice": ("status", "status_at"),
    "wallet_generation": ("next_index",),
    "transfer": ("state", "incarnation", "state_at", "settled"),
    "notice": ("spread_at",),
    "delivery": ("state", "attempts", "due_at", "answer", "done_at"),
    "tenant_credit": ("final_at", "reversed_at"),
    "gpu_share": ("during", "cancelled_at"),
    "owner_payee": ("confirmed_by", "confirmed_at", "ended_at"),
    "sanctions_list": ("dated", "stale_after_days", "problem", "looked_back_at", "dropped_at"),
    "attestation": ("revoked_at", "revoked_by", "revoked_reason"),
    "assignment": ("applied_units", "written_off_units", "ended_at"),
    "write_off": ("units", "ended_at"),
    "refund": ("state", "paid_by_transfer_id", "paid_at"),
    "contact": ("removed_at",),
    "login_link": ("used_at", "revoked_at"),
    "login_session": ("seen_at", "ended_at"),
    "payee": ("confirmed_by", "confirmed_at", "revoked_by", "revoked_at"),
}

RUNS: Final = ("usage", "observation", "exclusion")

FUNCTIONS: Final = (
    """
CREATE FUNCTION guard_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$""",
    """
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
END $$""",
    """
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
END $$""",
    """
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
END $$""",
    """
CREATE FUNCTION guard_closed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM book_close WHERE closed_before > NEW.booked_on) THEN
    RAISE EXCEPTION 'the books of % are closed', to_char(NEW.booked_on, 'YYYY-MM') USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$""",
    """
CREATE FUNCTION guard_owned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('gpu_share', NEW.gpu_id));
  IF EXISTS (
    SELECT 1 FROM gpu_share a JOIN gpu_share b
        ON b.gpu_id = a.gpu_id AND b.cancelled_at IS NULL AND b.during @> lower(a.during)
     WHERE a.gpu_id = NEW.gpu_id AND a.cancelled_at IS NULL GROUP BY a.id HAVING sum(b.parts) > 720720000) THEN
    RAISE EXCEPTION 'GPU % is owned more than once', NEW.gpu_id USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NULL;
END $$""",
)


def statements() -> list[str]:
    """All functions and triggers, in order."""
    ddl = [function.strip() for function in FUNCTIONS]
    for table in APPEND_ONLY:
        ddl.append(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION guard_append_only()"
        )
    for table in (*APPEND_ONLY, *FROZEN_EXCEPT):
        ddl.append(
            f"CREATE TRIGGER no_truncate BEFORE TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only()"
        )
    for table, columns in FROZEN_EXCEPT.items():
        arguments = ", ".join(f"'{column}'" for column in columns)
        ddl.append(
            f"CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON {table}"
            f" FOR EACH ROW EXECUTE FUNCTION guard_frozen({arguments})"
        )
    for table in RUNS:
        ddl.append(f"CREATE TRIGGER run_grows BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION guard_run()")
    for table in ("entry", "posting"):
        ddl.append(
            f"CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION guard_balance()"
        )
    ddl.append("CREATE TRIGGER open_month BEFORE INSERT ON entry FOR EACH ROW EXECUTE FUNCTION guard_closed()")
    ddl.append(
        "CREATE TRIGGER owned_once AFTER INSERT OR UPDATE ON gpu_share FOR EACH ROW EXECUTE FUNCTION guard_owned()"
    )
    return ddl
