"""MLflow's own users, who count where it asks for passwords (``snn-sweep-with-basic-auth``).

``admin`` makes further users. Ray's nodes, whose memory a trial's code can read, write as another
one, that owns the sweeps which it has made and may read the rest.
"""

from __future__ import annotations

from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

ADMIN = "admin"


def set_password(database: str, name: str, password: str) -> None:
    """Make a user, or give one that is there another password.

    Args:
        database: of MLflow's users, its tables up to date.
        name: :data:`ADMIN` may do everything.
        password: 12 characters or more.

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
