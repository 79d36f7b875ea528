"""Is the database what the code expects? Tables, columns, constraints, indexes, triggers, compared with the catalog."""

from sqlalchemy import Connection, text

from billing.db import guards
from billing.db.engine import Database, run_script
from billing.db.tables import metadata

_QUERIES = {
    "column": """
        SELECT c.relname || '.' || a.attname AS name,
               format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END AS definition
          FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
         WHERE c.relnamespace = CAST(:schema AS regnamespace) AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped""",
    "constraint": """
        SELECT c.relname || '.' || k.conname, pg_get_constraintdef(k.oid)
          FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
         WHERE c.relnamespace = CAST(:schema AS regnamespace) AND k.contype <> 'n' AND k.contype <> 't'""",
    "index": """
        SELECT tablename || '.' || indexname, replace(indexdef, ' ON ' || schemaname || '.', ' ON ')
          FROM pg_indexes WHERE schemaname = :schema""",
    "trigger": """
        SELECT c.relname || '.' || t.tgname, replace(pg_get_triggerdef(t.oid), CAST(:schema AS text) || '.', '')
          FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
         WHERE c.relnamespace = CAST(:schema AS regnamespace) AND NOT t.tgisinternal""",
    "function": """
        SELECT p.proname, p.prosrc FROM pg_proc p
         WHERE p.pronamespace = CAST(:schema AS regnamespace) AND p.proname LIKE 'guard\\_%'""",
}
_WANTED = "stablemeter_check"


def describe(connection: Connection, schema: str) -> dict[str, str]:
    """Every object of a schema and its definition: {"column usage.seat": "int8range not null", ...}."""
    found: dict[str, str] = {}
    for kind, query in _QUERIES.items():
        for name, definition in connection.execute(text(query), {"schema": schema}):
            found[f"{kind} {name}"] = definition
    return {name: definition for name, definition in found.items() if "alembic_version" not in name}


def create_all(connection: Connection) -> None:
    """Make every table and guard in the current schema, as the code has them now."""
    metadata.create_all(connection)
    run_script(connection, ";\n".join(guards.statements()))


def differences(database: Database) -> list[str]:
    """One line for each object that is missing, unexpected or different. Leaves nothing behind: it works in a transaction
    that is rolled back. Needs the right to create a schema."""
    with database.connection() as connection:
        schema = connection.execute(text("SELECT current_schema()")).scalar_one()
        found = describe(connection, schema)
        connection.exec_driver_sql(f"CREATE SCHEMA {_WANTED}")
        connection.exec_driver_sql(f"SET LOCAL search_path TO {_WANTED}")
        create_all(connection)
        wanted = describe(connection, _WANTED)
        connection.rollback()
    lines = [f"missing: {name}" for name in wanted if name not in found]
    lines += [f"unexpected: {name}" for name in found if name not in wanted]
    lines += [
        f"different: {name}: {found[name]} instead of {wanted[name]}"
        for name in wanted
        if name in found and found[name] != wanted[name]
    ]
    return sorted(lines)
