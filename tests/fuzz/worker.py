"""A separate process that handles damaged inputs, as JSON lines: a crash or hang does not affect the tests.

It may not take much more memory than it has when it begins.
"""

from __future__ import annotations

import json
import resource
import sys
import warnings

from fuzz.outcomes import outcome

MEMORY = 3 << 30


def main() -> None:
    warnings.simplefilter("error")
    out, sys.stdout = sys.stdout, sys.stderr
    is_limited = False
    for line in sys.stdin:
        out.write(json.dumps(outcome(json.loads(line))) + "\n")
        out.flush()
        if not is_limited:  # the first input was not damaged: what it took is what the tools take themselves
            limit_memory()
            is_limited = True


def limit_memory() -> None:
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))


if __name__ == "__main__":
    main()
