"""A TCP proxy between a client and a server on this machine, with which tests make faults."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self


class Proxy:
    """Forwards connections to a port of this machine, unless told otherwise.

    While it is ``down`` it refuses every connection and cuts those that are open. After
    ``lose_replies(n)`` the next n requests reach the server, and their replies are thrown away.
    It listens at the address ``host`` of this machine.
    """

    def __init__(self, target_port: int, host: str = "127.0.0.1") -> None:
        self.target_port = target_port
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._down = False
        self._replies_to_lose = 0
        self.refused = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()
        _cut(self._listener)  # which wakes who waits there

    def down(self) -> None:
        with self._lock:
            self._down = True
            for connection in self._open:
                _cut(connection)
            self._open.clear()

    def up(self) -> None:
        with self._lock:
            self._down = False

    def lose_replies(self, count: int) -> None:
        with self._lock:
            self._replies_to_lose += count

    @property
    def replies_left_to_lose(self) -> int:
        with self._lock:
            return self._replies_to_lose

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            with self._lock:
                server = None if self._down else self._reach_target()
                if server is None:
                    self.refused += 1
                    _cut(client)
                    continue
                self._open |= {client, server}
            for source, sink, is_reply in ((client, server, False), (server, client, True)):
                threading.Thread(
                    target=self._forward, args=(source, sink, is_reply), daemon=True
                ).start()

    def _reach_target(self) -> socket.socket | None:
        try:
            return socket.create_connection(("127.0.0.1", self.target_port))
        except ConnectionRefusedError:
            return None

    def _forward(self, source: socket.socket, sink: socket.socket, is_reply: bool) -> None:
        while True:
            try:
                data = source.recv(65536)
                if not data or (is_reply and self._loses()):
                    break
                sink.sendall(data)
            except OSError:
                break  # cut, or closed by the other direction
        _cut(source)
        _cut(sink)

    def _loses(self) -> bool:
        with self._lock:
            if self._replies_to_lose == 0:
                return False
            self._replies_to_lose -= 1
            return True


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is closed already, which is what was wanted
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
