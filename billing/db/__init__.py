"""The database: how to reach it, what its tables are, how they change.

Owns: the engine, the embedded server, column types, all tables, migrations, the catalog check, role locks.
Does not own: any rule of a concern. Rows are built and read in the concerns' stores only.
Invariants: one PostgreSQL, one writer a role; what sections 3 and 12 of the design promise is refused by the database itself.
"""
