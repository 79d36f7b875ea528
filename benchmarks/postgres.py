"""Databases for measurements, on an embedded server: the same engine as in production."""

import psycopg
from sqlalchemy import make_url


def database(server: str, name: str, template: str = "template1") -> str:
    """Make a database and return its URL. What was written before is on disk, so that nobody pays for it later."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        connection.execute("CHECKPOINT")
    return named(server, name)


def named(server: str, name: str) -> str:
    return make_url(server).set(database=name).render_as_string(hide_password=False)
