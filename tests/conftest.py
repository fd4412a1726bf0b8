"""What all tests share: releases, compiled Go programs, waiting, and the gate before system tests."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from mapprobe.vocabulary import Implementation
from support import toolchains, truth
from support.gobuild import Release, build_program, release_id
from support.host import NOT_RUN, insists, live_lack
from support.waiting import wait_until

if TYPE_CHECKING:
    from support.recordings import Recording

# A shell lets what runs in its background ignore Ctrl-C, and whatever tests start there would too.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What fails belongs to the change that it fails on; `make explore` draws other examples each time.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile("steady")

TOOLCHAIN = {"build", "every_release"}
"""Fixtures that want the toolchain of a release."""
SLOW = {"build", "browser"}
"""Fixtures that take seconds: compiled Go programs, a browser."""


@pytest.fixture(scope="session", params=list(toolchains.MAIN), ids=release_id)
def release(request: pytest.FixtureRequest) -> Release:
    """One Go release of each map implementation."""
    given: Release = request.param
    return given


@pytest.fixture(scope="session", params=list(toolchains.RELEASES), ids=release_id)
def every_release(request: pytest.FixtureRequest) -> Release:
    """Each Go release that has a toolchain."""
    given: Release = request.param
    return given


@pytest.fixture(scope="session")
def build() -> Callable[..., Path]:
    """Give `build(program, release, *flags)`, which compiles tests/programs/`program`."""
    return build_program


@pytest.fixture(params=list(Implementation))
def recording(request: pytest.FixtureRequest) -> Recording:
    """Give an empty recording of each implementation in turn."""
    from support.recordings import Recording  # which imports the core

    return Recording(request.param)


@pytest.fixture(scope="session", name="wait_until")
def _wait_until() -> Callable[..., object]:
    return wait_until


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Skip what this host can't run, a toolchain or a browser that it lacks included, unless somebody insists."""
    if item.get_closest_marker("system") is not None and not insists() and (lack := live_lack()):
        pytest.skip(f"{NOT_RUN}: system tests: {lack}")
    with skipping_without_toolchain():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Skip a test that finds only when it runs that a toolchain is missing."""
    with skipping_without_toolchain():
        yield


@contextmanager
def skipping_without_toolchain() -> Iterator[None]:
    try:
        yield
    except toolchains.MissingError as missing:
        if insists():
            raise
        pytest.skip(f"{NOT_RUN}: {missing}")


@pytest.hookimpl(tryfirst=True)  # xdist looks at the groups in the same hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out programs and tests that are not of a release of Go: there is nothing to test."""
    left_out = {item for item in items if not is_buildable(item) or not is_of_its_release(item)}
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]
    for item in items:
        item.add_marker(pytest.mark.xdist_group(shared(item)))
        if is_of_the_rest(item):
            item.add_marker(pytest.mark.rest)
        if SLOW & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


def shared(item: pytest.Item) -> str:
    """Return a name for the recording that a test shares with others: they belong to one process."""
    return f"{item.location[0]} {release_of(item)} {parameters(item).get('recorded')}"


def release_of(item: pytest.Item) -> Release | None:
    """Return the release of Go that a test was given, None if it has none of its own."""
    params = parameters(item)
    found: Release | None = params.get("release", params.get("every_release"))
    return found


def is_of_the_rest(item: pytest.Item) -> bool:
    """True of a test that shows with one more toolchain what others show with the two main ones."""
    if release_of(item) in (None, *toolchains.MAIN):
        return False
    wants = any(item.get_closest_marker(name) for name in ("system", "toolchain"))
    return wants or not TOOLCHAIN.isdisjoint(getattr(item, "fixturenames", ()))


def parameters(item: pytest.Item) -> dict[str, Any]:
    """Return what a test was given by its parameters and those of its fixtures."""
    return item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}


def is_buildable(item: pytest.Item) -> bool:
    """True unless a test is for a program and a release that can't compile it."""
    params = parameters(item)
    program = params.get("program") or params.get("recorded", (None,))[0]
    return program is None or "release" not in params or truth.can_be_built(program, params["release"])


def is_of_its_release(item: pytest.Item) -> bool:
    """True unless a test is marked to be of other releases."""
    marker = item.get_closest_marker("releases")
    return marker is None or release_of(item) in marker.args


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line how many tests were not run for want of something, and of what."""
    reasons = [str(r.longrepr[2]) for r in terminalreporter.stats.get("skipped", ()) if isinstance(r.longrepr, tuple)]
    lacks = Counter(reason.partition(f"{NOT_RUN}: ")[2] for reason in reasons if NOT_RUN in reason)
    if lacks:
        said = "; ".join(f"{count:,} ({lack})" for lack, count in lacks.most_common())
        terminalreporter.write_line(f"{sum(lacks.values()):,} TESTS NOT RUN: {said}", red=True)
