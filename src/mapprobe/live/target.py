"""The target of a recording or a census: a live process and the Go binary that it runs, opened together.

An address in the process is the binary's address plus the load bias. The load bias of a command that is still waiting
at its gate is not known; `Target.locate` finds the bias once the command has started.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING

from mapprobe.errors import MapprobeError, MemoryReadError
from mapprobe.go.binary import GoBinary
from mapprobe.go.facts import heap_facts_for, span_facts_for
from mapprobe.go.pclntab import FunctionTable
from mapprobe.live.process import Command, Process
from mapprobe.live.refusal import refusal
from mapprobe.vocabulary import Implementation

if TYPE_CHECKING:
    from mapprobe.go.keyhash import KeyHasher
    from mapprobe.go.types import TypeTable
    from mapprobe.live.heap.spans import Layout


class Target:
    """A live process with its Go binary; a context manager.

    Parameters
    ----------
    process
        The PID of a process, or a command that waits at its gate.

    Attributes
    ----------
    command
        The command that mapprobe has started; None: the process existed before.
    executable
        Path by which the executable is opened: through /proc if the process runs already.
    path
        Path of the executable as a user knows it.
    bias
        The load bias: an address in the process less the same address in the binary; 0 while not known.
    read
        Reads the process's memory, `Process.read`.

    Raises
    ------
    TargetError
        If there is no such process, or the process runs no Go program.
    """

    # Modules that are not needed to find probe points are imported by the methods that use them, while another process
    # compiles the probes.

    def __init__(self, process: int | Command) -> None:
        self.command = process if isinstance(process, Command) else None
        with ExitStack() as stack:
            self.process = stack.enter_context(Process(process if isinstance(process, int) else process.pid))
            if self.command:
                self.executable = self.path = self.command.path
            else:
                self.executable, self.path = self.process.executable()
            try:
                self.binary = stack.enter_context(GoBinary.open(self.executable))
            except MapprobeError as error:
                raise refusal(self.process, error, self.path if self.command else None) from None
            self.bias = 0
            if not self.command:
                self.locate()
            self.read = self.process.read
            self._stack = stack.pop_all()

    def __enter__(self) -> Target:
        """Return the target itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> bool | None:
        """Close the process and the binary."""
        return self._stack.__exit__(kind, error, where)

    def locate(self) -> None:
        """Find the load bias.

        Raises
        ------
        TargetError
            If the executable is not mapped.
        """
        self.bias = self.process.load_bias(self.binary.lowest_vaddr) if self.binary.is_pie else 0

    @property
    def is_located(self) -> bool:
        """True if the load bias can be found: the executable is in memory, or is not position-independent."""
        return not self.binary.is_pie or self.process.is_mapped()

    @property
    def implementation(self) -> Implementation:
        """The family of the maps."""
        return self.binary.implementation

    @cached_property
    def functions(self) -> FunctionTable:
        """The functions of the binary."""
        return FunctionTable(self.binary)

    @property
    def text(self) -> range:
        """Addresses of the Go code, as the binary has them."""
        return range(self.functions.text_start, self.functions.text_end)

    @cached_property
    def types(self) -> TypeTable:
        """The types of the binary."""
        from mapprobe.go.types import TypeTable

        return TypeTable(self.binary)

    @cached_property
    def _heap_vaddr(self) -> int:
        from mapprobe.go.variables import heap_vaddr  # it loads a disassembler: after the first line is shown

        return heap_vaddr(self.binary, self.functions)

    @cached_property
    def _hash_key_vaddr(self) -> int | None:
        from mapprobe.go.variables import hash_key_vaddr

        return hash_key_vaddr(self.binary, self.functions)

    def heap_layout(self) -> Layout:
        """Return the address of the heap in the process, and the layout of its structures.

        Raises
        ------
        BinaryError
            If the code of the binary does not show the heap.
        """
        from mapprobe.live.heap.spans import Layout

        release = self.binary.go_release
        heap = heap_facts_for(release)
        inline_marks = heap.inline_marks and "nogreenteagc" not in self.binary.experiments
        return Layout(self._heap_vaddr + self.bias, heap, span_facts_for(release), inline_marks)

    def hasher(self, longest: int | None = None, most_types: int | None = None) -> KeyHasher | None:
        """Return a hasher that hashes keys as the process does; None: the process's hash key is not known (yet).

        Parameters
        ----------
        longest, most_types
            Bounds of the work, see `KeyHasher`; None: the bound of `KeyHasher`, and none.
        """
        import numpy as np

        from mapprobe.go.keyhash import LONGEST_STRING, KeyHasher
        from mapprobe.go.memhash import KEY_BYTES

        if self._hash_key_vaddr is None:
            return None
        try:
            key = np.frombuffer(self.read(self._hash_key_vaddr + self.bias, KEY_BYTES), np.uint8)
        except MemoryReadError:
            return None
        return KeyHasher(self.types, key, self.read, LONGEST_STRING if longest is None else longest, most_types)
