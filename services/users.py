"""Sets passwords of MLflow's own users, for servers with ``snn-sweep-with-basic-auth``.

``admin`` creates further users. Ray's nodes write as another user, because a trial's code can read
their memory. That user owns the sweeps that it creates, and can read all others.
"""

from __future__ import annotations

from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

ADMIN = "admin"


def set_password(database: str, name: str, password: str) -> None:
    """Create a user, or change the password of an existing one.

    Args:
        database: the URL of the database of MLflow's users, whose tables are up to date.
        name: the user's name; :data:`ADMIN` may do everything.
        password: at least 12 characters.

    Raises:
        MlflowException: the password is too short.
    """
    store = SqlAlchemyStore()
    store.init_db(database)
    try:
        if not store.has_user(name):
            store.create_user(name, password, is_admin=name == ADMIN)
        elif not store.authenticate_user(name, password):
            store.update_user(name, password)
    finally:
        store.engine.dispose()
