"""Alembic's entry: migrations always run on the connection that `billing.db.migrate` hands over."""

from alembic import context

from billing.db.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
