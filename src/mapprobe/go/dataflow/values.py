"""Abstract values: what is known of a register or a stack slot, and what two paths agree on.

A value is named by where it comes from, so equal names are equal values.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Argument:
    """The n-th argument word of the function."""

    number: int


@dataclass(frozen=True, slots=True)
class Load:
    """The word at an offset from another value: 8 bytes, or 4 zero-extended."""

    base: Value
    offset: int
    size: int = 8


@dataclass(frozen=True, slots=True)
class StackAddress:
    """An address, counted from RSP at the function's entry, where the return address stands."""

    offset: int


@dataclass(frozen=True, slots=True)
class Constant:
    """A number."""

    number: int


@dataclass(frozen=True, slots=True)
class OrZero:
    """An argument word, or 0 where some path replaced the word by 0."""

    argument: Argument


@dataclass(frozen=True, slots=True)
class Product:
    """One half of a 128-bit product, made at an address; `is_last` marks the last product of a memory hash."""

    is_high: bool
    made_at: int
    is_last: bool


@dataclass(frozen=True, slots=True)
class Named:
    """A value that is known by a name, such as the hash."""

    name: str


Value = Argument | Load | StackAddress | Constant | OrZero | Product | Named
HASH = Named("hash")
AES = Named("aes state")
CALLERS_RBP = Named("caller's rbp")

Place = int | StackAddress
"""A register (iced's number of the whole one) or a stack slot."""
State = dict[Place, Value]


def depth(value: Value) -> int:
    """Return how many loads a value is made of."""
    return 1 + depth(value.base) if isinstance(value, Load) else 0


def join(one: State, other: State) -> State:
    """Return the values that two paths agree on."""
    joined: State = {}
    for place, value in one.items():
        put(joined, place, agreed(value, other.get(place)))
    return joined


def agreed(one: Value | None, other: Value | None) -> Value | None:
    """Return what is known of a value that is one or the other."""
    if one is None or other is None:
        return None
    return one if one == other else _or_zero(one, other)


def _or_zero(one: Value, other: Value) -> OrZero | None:
    """Return the argument word that both values are where they are not 0, None if there is no such word."""
    arguments = set()
    for value in (one, other):
        if isinstance(value, Argument):
            arguments.add(value)
        elif isinstance(value, OrZero):
            arguments.add(value.argument)
        elif value != Constant(0):
            return None
    return OrZero(arguments.pop()) if len(arguments) == 1 else None


def put(state: State, place: Place, value: Value | None) -> None:
    """Note that a place holds a value; None: the value is unknown."""
    if value is None:
        state.pop(place, None)
    else:
        state[place] = value
