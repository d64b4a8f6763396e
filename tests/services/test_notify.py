from __future__ import annotations

import builtins
from typing import Any

import pytest
from webhook import webhook

from services.notify import check_addresses, notify
from services.settings import SettingsError


def test_each_address_gets_the_message() -> None:
    with webhook() as one, webhook() as other:
        check_addresses([one.address, other.address])
        assert one.messages == []
        assert notify([one.address, other.address], "a title", "a line\n<b>another</b>") == []
    assert one.messages == other.messages == [("a title", "a line\n<b>another</b>")]


def test_an_address_that_does_not_accept_it_is_named_without_its_password(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with webhook() as broken, webhook() as other:
        broken.code = 500
        (named,) = notify([broken.address, other.address], "a title", "a line")
    assert named.startswith("json://user:****@127.0.0.1")
    assert other.messages == [("a title", "a line")]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("address", ["https://", "secret", "nobody://user:secret@host"])
def test_invalid_addresses(address: str) -> None:
    with pytest.raises(SettingsError, match="address 2 of 2") as caught:
        check_addresses(["json://localhost", address])
    assert "secret" not in str(caught.value)


def test_without_apprise(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "apprise":
            raise ImportError("No module named 'apprise'")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    check_addresses([])
    with pytest.raises(SettingsError, match=r"pip install 'snn-norm\[notify\]'"):
        check_addresses(["json://localhost"])
