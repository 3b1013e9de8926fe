"""Databases of a test's own on the PostgreSQL that `tests/postgres` starts."""

import contextlib
import os
import subprocess
import urllib.parse


@contextlib.contextmanager
def own_database(server, name):
    """The URL of a new database on the server, for as long as it is wanted."""
    name = f"{name}_{os.getpid()}"
    query(server, f"CREATE DATABASE {name}")
    try:
        yield urllib.parse.urlsplit(server)._replace(path=f"/{name}").geturl()
    finally:
        query(server, f"DROP DATABASE {name} WITH (FORCE)")


def query(server, statement):
    """Has the server do something."""
    command = ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--command", statement, server]
    subprocess.run(command, check=True)
