"""Loads that keep servers busy: they run beside a server until they are told to end, on this machine alone.

Each counts what it has asked for, so that a run can say how busy the server was.
"""

from __future__ import annotations

import contextlib
import http.server
import itertools
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.gobuild import link_program

RELEASE = (1, 27)
LONGEST_SECONDS = 600
PATIENCE = 30
SUBJECTS = 500
SERIES, CHURNING = 19_000, 1_000
EDIT_SECONDS = 0.15


@dataclass(slots=True)
class Load:
    """A load that runs.

    Attributes
    ----------
    over
        Ends it when it is set.
    done
        Operations that the server was asked for so far, by each part of the load.
    """

    over: threading.Event = field(default_factory=threading.Event)
    done: list[int] = field(default_factory=list)

    def counter(self) -> Callable[[int], None]:
        """Return what takes how much one part of the load has done."""
        number = len(self.done)
        self.done.append(0)

        def count(done: int) -> None:
            self.done[number] = done

        return count


@contextmanager
def running(parts: Sequence[Callable[[Load], None]]) -> Iterator[Load]:
    """Run all parts of a load, each in a thread of its own; what they ask may be gone by the time they end."""
    load = Load()
    threads = [threading.Thread(target=_endured, args=(part, load), daemon=True) for part in parts]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.over.set()
        for thread in threads:
            thread.join(PATIENCE)


def _endured(part: Callable[[Load], None], load: Load) -> None:
    while not load.over.wait(0.05):
        with contextlib.suppress(OSError):  # the server may refuse for a while
            part(load)


def requests(*asked: str, connections: int = 4, token: str = "") -> Callable[[Load], None]:
    """Return what sends HTTP requests, a round of them again and again on each connection."""

    program = link_program("asker", RELEASE, "plain")

    def part(load: Load) -> None:
        options = [f"-connections={connections}", f"-seconds={LONGEST_SECONDS}", f"-token={token}"]
        pipe, count = subprocess.PIPE, load.counter()
        with subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "nice", str(program), *options, *asked],
            stdin=pipe,
            stdout=pipe,
            text=True,
        ) as sender:
            assert sender.stdin
            assert sender.stdout
            for line in sender.stdout:
                count(int(line))
                if load.over.is_set():
                    break
            sender.kill()

    return part


def subjects(port: int) -> Callable[[Load], None]:
    """Return what subscribes to subjects of a NATS server, publishes to each, and unsubscribes again."""

    def part(load: Load) -> None:
        count = load.counter()
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
            connection.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\n')
            threading.Thread(target=_swallow, args=(connection,), daemon=True).start()
            for turn in itertools.count():
                if load.over.wait(0.002):
                    break
                connection.sendall(_turn(range(turn * SUBJECTS, (turn + 1) * SUBJECTS)))
                count(3 * SUBJECTS * (turn + 1))

    return part


def _turn(numbers: range) -> bytes:
    told = [f"SUB foo.{i}.bar.{i % 7} {i}\r\n" for i in numbers]
    told += [f"PUB foo.{i}.bar.{i % 7} 2\r\nhi\r\n" for i in numbers]
    told += [f"UNSUB {i}\r\n" for i in numbers]
    return "".join([*told, "PING\r\n"]).encode()


def _swallow(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while connection.recv(1 << 16):
            pass


def series(port: int) -> Callable[[Load], None]:
    """Return what offers many series to whoever scrapes them; some have other labels each time."""

    def part(load: Load) -> None:
        count, scrapes = load.counter(), itertools.count(1)

        class Exporter(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                scrape = next(scrapes)
                lines = [f'm{i % 50}{{inst="i{i}",job2="j{i % 17}"}} {i + scrape}\n' for i in range(SERIES)]
                lines += [f'churn{{id="{scrape}_{i}"}} 1\n' for i in range(CHURNING)]
                body = "".join(lines).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):  # who asked may have given up waiting
                    self.wfile.write(body)
                count(scrape)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Say nothing: who scrapes may give up a connection at any time."""

        with Server(("127.0.0.1", port), Exporter) as exporter:
            threading.Thread(target=exporter.serve_forever, args=(0.05,), daemon=True).start()
            load.over.wait()
            exporter.shutdown()

    return part


def edits(texts: Sequence[Path]) -> Callable[[Load], None]:
    """Return what adds a line to one text after the other, Markdown or TypeScript."""

    def part(load: Load) -> None:
        count = load.counter()
        for turn, text in enumerate(itertools.cycle(texts), 1):
            if load.over.wait(EDIT_SECONDS):
                break
            with text.open("a") as file:
                file.write(f"\n// line {turn}\n")
            count(turn)

    return part
