"""Notifies people by mail, chat or a webhook, at the addresses of ``SNN_SWEEP_NOTIFY``.

Apprise sends the messages: https://appriseit.com/services/ lists the forms of addresses. They hold
passwords and tokens, so no message of this module shows one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.settings import SettingsError

if TYPE_CHECKING:
    from apprise import Apprise


def check_addresses(addresses: Sequence[str]) -> None:
    """Check that notifications can be sent to these addresses, without sending one.

    Raises:
        SettingsError: Apprise is not installed, or an address has no form that it knows.
    """
    for place, address in enumerate(addresses, start=1):
        if not _apprise().add(address):
            scheme = address.partition("://")[0] if "://" in address else "no scheme"
            raise SettingsError(
                f"SNN_SWEEP_NOTIFY: address {place} of {len(addresses)} ({scheme}) is not valid. "
                "Valid: addresses of Apprise with spaces between them, such as "
                "mailtos://user:password@example.org or slack://token; "
                "https://appriseit.com/services/ has all. Unset the variable for no notifications."
            )


def notify(addresses: Sequence[str], title: str, body: str) -> list[str]:
    """Send a message to each address, which `check_addresses` has accepted.

    Returns:
        The addresses that did not accept it, with ``****`` in place of their secrets.
    """
    refused = []
    for address in addresses:
        receiver = _apprise()
        receiver.add(address)
        if not receiver.notify(body=body, title=title, body_format="text"):
            refused += [s.url(privacy=True) for s in receiver]  # type: ignore[no-untyped-call]
    return refused


def _apprise() -> Apprise:
    try:
        from apprise import Apprise
    except ImportError as error:
        raise SettingsError(
            f"SNN_SWEEP_NOTIFY needs Apprise ({error}): pip install 'snn-norm[notify]'"
        ) from None
    logging.getLogger("apprise").disabled = True  # its lines may hold what an address hides
    return Apprise()
