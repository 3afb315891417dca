"""Read a pickle safely: a small interpreter for the opcodes that tensors need.

A pickle is a program for a stack machine, and Python's own machine calls whatever the program
names. This one cannot: a name in the file selects one of our own functions from an allow list, and
any other name is an error. The results are None, bools, numbers, strings, tuples, lists, dicts with
string keys, and our records of tensors, whose bytes stay in the file. Time and memory are bounded:
an opcode takes at least one byte of the file and makes at most one small object, and the number of
opcodes is limited by the size of the file.
"""

import struct
from collections.abc import Callable
from typing import Any

from numpy_erniem.checkpoint.allowed import ADVICE, Allowed, AllowList, LongText, other_tensor

LONGEST_TEXT = 1 << 16  # bytes; a longer string holds tensor data, and stays in the file
OPCODES_AT_LEAST = 100_000  # every file may have as many; a large file may have more
BYTES_PER_OPCODE = 16


def unpickle(
    data: memoryview,
    allowed: AllowList,
    persistent: Callable[[Any], Any] | None = None,
    start: int = 0,
) -> tuple[Any, int]:
    """Read one pickle.

    Parameters
    ----------
    data : memoryview of bytes
    allowed : dict of (module, name) to Allowed
        Every global that the file may mention.
    persistent : callable, optional
        Makes our record of a persistent id.
    start : int
        The byte of `data` at which the pickle begins.

    Returns
    -------
    value : object
    end : int
        The byte after the pickle.

    Raises
    ------
    ValueError
        The file names a global that is not allowed (the message says which), has an opcode that
        tensors do not need, or is not a pickle.
    """
    machine = _Machine(data, start, allowed, persistent)
    most = OPCODES_AT_LEAST + (len(data) - start) // BYTES_PER_OPCODE
    for _ in range(most):
        where = machine.at
        opcode = machine.number(1)
        if opcode == _STOP:
            return machine.finish(), machine.at
        step = _STEPS.get(opcode)
        if step is None:
            raise ValueError(
                f"byte {where}: {_opcode_name(opcode)}, which tensors do not need; {ADVICE}"
            )
        try:
            step(machine)
        except (IndexError, KeyError):
            raise ValueError(f"byte {where}: {_opcode_name(opcode)} lacks an operand") from None
        except ValueError as error:
            raise ValueError(f"byte {where}: {error}") from None
    raise ValueError(f"more than {most} opcodes; a checkpoint of this size has far fewer")


class _Machine:
    """Stack, memo and position; the values after the last mark are at `marks[-1]` and above."""

    def __init__(self, data, start, allowed, persistent) -> None:
        self.data, self.at = data, start
        self.allowed, self.persistent = allowed, persistent
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def take(self, count: int) -> memoryview:
        """The next `count` bytes, as a view."""
        end = self.at + count
        if end > len(self.data):
            raise ValueError(f"{count} bytes are needed, {len(self.data) - self.at} are left")
        view = self.data[self.at : end]
        self.at = end
        return view

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")

    def line(self) -> str:
        for end in range(self.at, min(self.at + 256, len(self.data))):
            if self.data[end] == 10:
                text = bytes(self.take(end - self.at)).decode("ascii")
                self.at += 1
                return text
        raise ValueError("a name does not end within 256 bytes")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise IndexError
        return self.stack.pop()

    def pop_mark(self) -> list[Any]:
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def finish(self) -> Any:
        if len(self.stack) != 1 or self.marks:
            raise ValueError(f"the pickle stops with {len(self.stack)} values instead of one")
        return self.stack[0]

    def find(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise ValueError("the name of a global is not a string")
        if (module, name) not in self.allowed:
            self.refuse(module, name)
        self.push(self.allowed[module, name])

    def refuse(self, module: str, name: str) -> None:
        wanted = ascii(f"{module}.{name}")[1:-1]  # no control characters for the terminal
        if what := other_tensor(wanted):
            raise ValueError(
                f"the file holds {what} ({wanted[:200]}), which is not read; save it as plain "
                "tensors of float32, float16 or bfloat16"
            )
        raise ValueError(f"the file wants {wanted[:200]}, not a tensor: {ADVICE}")


def _text(m: _Machine, count: int) -> None:
    view = m.take(count)
    m.push(LongText(view) if count > LONGEST_TEXT else bytes(view).decode("utf-8"))


def _tuple(count: int) -> Callable[[_Machine], None]:
    def step(m: _Machine) -> None:
        m.push(tuple(reversed([m.pop() for _ in range(count)])))

    return step


def _extend(m: _Machine, values: list[Any]) -> None:
    target = m.stack[-1]
    if type(target) is not list:
        raise ValueError(f"items are added to a {type(target).__name__}, not to a list")
    target.extend(values)


def _update(m: _Machine, values: list[Any]) -> None:
    target = m.stack[-1]
    if type(target) is not dict or len(values) % 2:
        raise ValueError(f"pairs are added to a {type(target).__name__}, not to a dict")
    for key, value in zip(values[::2], values[1::2], strict=True):
        if type(key) is not str:
            raise ValueError(f"a dict has a {type(key).__name__} for a key, not a string")
        if key in target:
            raise ValueError(f"duplicate key {key[:100]!r}")
        target[key] = value


def _reduce(m: _Machine) -> None:
    arguments, callee = m.pop(), m.pop()
    if not isinstance(callee, Allowed) or callee.build is None or type(arguments) is not tuple:
        raise ValueError("REDUCE of an object that is not callable")
    try:
        m.push(callee.build(*arguments))
    except TypeError:
        raise ValueError(f"{callee.name} does not take {len(arguments)} arguments") from None


def _build(m: _Machine) -> None:
    """Give a record its state; the attributes of an OrderedDict are skipped."""
    state, target = m.pop(), m.stack[-1]
    if type(target) is not dict:
        if not hasattr(type(target), "set_state") or type(state) is not tuple:
            raise ValueError(f"BUILD of a {type(target).__name__}, which takes no state")
        try:
            target.set_state(*state)
        except TypeError:
            raise ValueError(f"BUILD of an array or dtype with {len(state)} arguments") from None


def _persistent(m: _Machine) -> None:
    if m.persistent is None:
        raise ValueError("a persistent id, which this file format does not have")
    m.push(m.persistent(m.pop()))


def _check_protocol(m: _Machine) -> None:
    version = m.number(1)
    if version > 5:
        raise ValueError(f"pickle protocol {version}; 2 to 5 are known")


def _remember(m: _Machine, key: int) -> None:
    m.memo[key] = m.stack[-1]


_STOP = 0x2E
_STEPS: dict[int, Callable[[_Machine], None]] = {
    0x80: _check_protocol,
    0x95: lambda m: m.take(8) and None,  # FRAME: its length tells a reader how much to fetch
    ord("("): lambda m: m.marks.append(len(m.stack)),
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("K"): lambda m: m.push(m.number(1)),
    ord("M"): lambda m: m.push(m.number(2)),
    ord("J"): lambda m: m.push(int.from_bytes(m.take(4), "little", signed=True)),
    0x8A: lambda m: m.push(int.from_bytes(m.take(m.number(1)), "little", signed=True)),
    ord("G"): lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    0x8C: lambda m: _text(m, m.number(1)),
    ord("X"): lambda m: _text(m, m.number(4)),
    0x8D: lambda m: _text(m, m.number(8)),
    ord("C"): lambda m: m.push(m.take(m.number(1))),
    ord("B"): lambda m: m.push(m.take(m.number(4))),
    0x8E: lambda m: m.push(m.take(m.number(8))),
    ord(")"): lambda m: m.push(()),
    0x85: _tuple(1),
    0x86: _tuple(2),
    0x87: _tuple(3),
    ord("t"): lambda m: m.push(tuple(m.pop_mark())),
    ord("]"): lambda m: m.push([]),
    ord("}"): lambda m: m.push({}),
    ord("a"): lambda m: _extend(m, [m.pop()]),
    ord("e"): lambda m: _extend(m, m.pop_mark()),
    ord("s"): lambda m: _update(m, [m.pop(), m.pop()][::-1]),
    ord("u"): lambda m: _update(m, m.pop_mark()),
    ord("q"): lambda m: _remember(m, m.number(1)),
    ord("r"): lambda m: _remember(m, m.number(4)),
    0x94: lambda m: _remember(m, len(m.memo)),
    ord("h"): lambda m: m.push(m.memo[m.number(1)]),
    ord("j"): lambda m: m.push(m.memo[m.number(4)]),
    ord("c"): lambda m: m.find(m.line(), m.line()),
    ord("i"): lambda m: m.refuse(m.line(), m.line()),
    0x93: lambda m: m.find(*[m.pop(), m.pop()][::-1]),
    ord("R"): _reduce,
    ord("b"): _build,
    ord("Q"): _persistent,
}


def _opcode_name(opcode: int) -> str:
    import pickletools

    found = pickletools.code2op.get(chr(opcode))
    return f"pickle opcode {found.name}" if found else f"{opcode:#04x} is not a pickle opcode"
