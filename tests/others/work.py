"""Work for the programs of others: commands with fixed work, and servers under load."""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support import toolchains
from support.gobuild import Release, go_environment

MODULES = 400
PAGES = 150
PATIENCE = 30


def bundle(esbuild: Path, scratch: Path) -> list[str]:
    """Return the command that bundles modules which import each other."""
    for i in range(MODULES):
        imports = [f"import {{ c{k}, t{k} }} from './m{k}';" for k in {i // 2, i // 3, i - 1} if 0 <= k < i]
        members = " ".join(f"m{j}(a: number) {{ const l{j} = a * {j}; return l{j} + {i}; }}" for j in range(20))
        table = ", ".join(f"k{j}: {j * i}" for j in range(20))
        uses = [f"export const u{i}_{k} = new c{k}().m1(t{k}.k2);" for k in {i // 2, i // 3} if k < i]
        lines = [*imports, f"export class c{i} {{ {members} }}", f"export const t{i} = {{ {table} }};", *uses]
        (scratch / f"m{i}.ts").write_text("\n".join(lines))
    (scratch / "index.ts").write_text("\n".join(f"export * from './m{i}';" for i in range(MODULES)))
    out = scratch / "out.js"
    return [str(esbuild), str(scratch / "index.ts"), "--bundle", "--sourcemap", f"--outfile={out}"]


def site(hugo: Path, scratch: Path) -> list[str]:
    """Return the command that builds a site of pages with tags."""
    (scratch / "hugo.toml").write_text('title = "pages"\n[taxonomies]\ntag = "tags"\n')
    layouts, posts = scratch / "layouts" / "_default", scratch / "content" / "posts"
    for folder in (layouts, posts):
        folder.mkdir(parents=True)
    (layouts / "single.html").write_text("{{ .Title }}{{ .Content }}")
    (layouts / "list.html").write_text("{{ range .Pages }}{{ .Title }}{{ end }}")
    for i in range(PAGES):
        head = f'---\ntitle: "page {i}"\ntags: ["t{i % 7}", "t{i % 11}"]\n---\n'
        (posts / f"p{i}.md").write_text(head + f"# page {i}\n\ntext *{i}*\n" * 20)
    return [str(hugo), "--source", str(scratch)]


def compile_package(release: Release, package: str) -> Callable[[Path, Path], list[str]]:
    """Return what gives the command that compiles a package of the standard library."""

    def command(compiler: Path, scratch: Path) -> list[str]:
        go = toolchains.goroot(release) / "bin" / "go"

        def listed(*arguments: str) -> list[str]:
            listing = [str(go), "list", *arguments, package]
            # where the module of the standard library is the main one
            done = subprocess.run(
                listing, cwd=toolchains.goroot(release) / "src", env=go_environment(release), check=True,
                capture_output=True, text=True,
            )  # fmt: skip
            return [line for line in done.stdout.splitlines() if line]

        exports = listed("-export", "-deps", "-f", "{{if .Export}}packagefile {{.ImportPath}}={{.Export}}{{end}}")
        config = scratch / "importcfg"
        config.write_text("\n".join(line for line in exports if not line.startswith(f"packagefile {package}=")))
        files = listed("-f", '{{range .GoFiles}}{{$.Dir}}/{{.}}{{"\\n"}}{{end}}')
        flags = ["-p", package, "-std", "-complete", "-importcfg", str(config), "-pack", "-c=2", "-nolocalimports"]
        return [str(compiler), "-o", str(scratch / "out.a"), *flags, *files]

    return command


@contextmanager
def under_load(command: Sequence[str], port: int, load: Callable[[int], None]) -> Iterator[tuple[int, threading.Event]]:
    """Run a server, and keep it busy; give its PID, and what ends the load when it is set."""
    over = threading.Event()
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet) as server:
        try:
            wait_for(port, over)
            driver = threading.Thread(target=_repeat, args=(load, port, over))
            driver.start()
            try:
                yield server.pid, over
            finally:
                over.set()
                driver.join(PATIENCE)
        finally:
            server.kill()


def _repeat(load: Callable[[int], None], port: int, over: threading.Event) -> None:
    while not over.wait(0.005):
        with contextlib.suppress(OSError, http.client.HTTPException):
            load(port)


def wait_for(port: int, over: threading.Event) -> None:
    """Wait until something listens there, or it is over."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            over.wait(0.1)
        else:
            return


def nats(server: Path, scratch: Path, port: int) -> list[str]:
    """Return the command of a NATS server."""
    return [str(server), "--addr", "127.0.0.1", "--port", str(port)]


def subscribe(port: int) -> None:
    """Subscribe to subjects, publish to each, unsubscribe again."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        told = [f"SUB foo.{i}.bar.{i % 7} {i}\r\n" for i in range(500)]
        told += [f"PUB foo.{i}.bar.{i % 7} 2\r\nhi\r\n" for i in range(500)]
        told += [f"UNSUB {i}\r\n" for i in range(500)]
        connection.sendall(('CONNECT {"verbose":false}\r\n' + "".join(told) + "PING\r\n").encode())
        answer = b""
        while b"PONG" not in answer:
            part = connection.recv(1 << 16)
            if not part:
                return
            answer = answer[-4:] + part


def caddy(server: Path, scratch: Path, port: int) -> list[str]:
    """Return the command of a Caddy server that answers by templates."""
    (scratch / "index.html").write_text("{{.Req.Method}}{{range $k, $v := .Req.Header}}{{$k}}{{end}}")
    config = scratch / "Caddyfile"
    rules = f"root * {scratch}\nheader X-A b\ntemplates\nfile_server"
    config.write_text(f"{{\nadmin off\nauto_https off\n}}\nhttp://127.0.0.1:{port} {{\n{rules}\n}}\n")
    return [str(server), "run", "--config", str(config), "--adapter", "caddyfile"]


def request(port: int) -> None:
    """Ask for a page a hundred times over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    for i in range(100):
        connection.request("GET", f"/index.html?a={i}")
        connection.getresponse().read()
    connection.close()


def prometheus(server: Path, scratch: Path, port: int) -> list[str]:
    """Return the command of a Prometheus server that scrapes itself."""
    config = scratch / "prometheus.yml"
    target = f'- targets: ["127.0.0.1:{port}"]'
    config.write_text(
        f"global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: self\n  static_configs:\n  {target}\n"
    )
    storage = f"--storage.tsdb.path={scratch / 'tsdb'}"
    return [str(server), f"--config.file={config}", storage, f"--web.listen-address=127.0.0.1:{port}"]


def query(port: int) -> None:
    """Ask for rates by label."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    for name in ("prometheus_http_requests_total", "go_gc_duration_seconds", "prometheus_engine_queries"):
        for path in (f"query?query=sum+by+(handler)+(rate({name}[20s]))", f"series?match[]={name}"):
            connection.request("GET", f"/api/v1/{path}")
            connection.getresponse().read()
    connection.close()
