"""Networks as text: tables for the terminal, Graphviz for papers, HTML for notebooks."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from minicnn.errors import printable

if TYPE_CHECKING:
    from minicnn.network import Network

__all__ = ["Text", "columns", "count", "plan", "summary", "table", "times", "to_dot", "to_html"]


class Text(str):
    """A string that shows itself as it is, also at the prompt, once made `printable`."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        return super().__new__(cls, printable(text, lines=True))

    def __repr__(self) -> str:
        return str(self)


def count(number: float) -> str:
    """A number in at most five characters: 950, 12.3k, 4.56M.

    Examples
    --------
    >>> count(1234567)
    '1.23M'
    """
    units = ["", "k", "M", "G", "T", "P", "E"]
    while abs(number) >= 999.5 and len(units) > 1:
        number /= 1000
        units.pop(0)
    return f"{number:.3g}{units[0]}"


def times(shape: Sequence[int | None]) -> str:
    """A shape as 64x55x55, without its batch."""
    return "x".join("?" if n is None else str(n) for n in shape[1:]) or "1"


def plan(
    name: str,
    steps: Sequence[tuple[str, str, str, tuple[int, ...]]],
    arena: int,
    packs: int,
    note: str = "",
) -> Text:
    """What a plan fuses and which kernels it uses, and a sentence on how it runs."""
    blocks = sum(kinds.count(" + ") + 1 for _, kinds, _, _ in steps)
    views = sum(kernel.startswith("view") for _, _, kernel, _ in steps)
    rows = [[value, kinds, times(shape), kernel] for value, kinds, kernel, shape in steps]
    head = (
        f"{printable(name)}: {blocks} blocks in {len(steps) - views} steps, {count(arena)}B of "
        f"memory used again and again, {count(packs)}B of packed filters"
    )
    head += f"\n{printable(note)}" if note else ""
    return Text(f"{head}\n{table(['value', 'blocks run as one', 'output', 'kernel: why'], rows)}")


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> Text:
    """Columns set apart by two spaces; those listed in `right` are aligned right."""
    rows = _seen([header, *rows])
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return columns([rows[0], ["-" * width for width in widths], *rows[1:]], right)


def columns(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> Text:
    """The same without a header."""
    rows = _seen(rows)
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return Text("\n".join(map(line, rows)))


def _seen(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Cells of one line each, as wide as they are long."""
    return [[printable(cell) for cell in row] for row in rows]


def blocks(network: Network) -> str:
    """How many, in words."""
    return f"{len(network.nodes)} block" + ("" if len(network.nodes) == 1 else "s")


def rows(network: Network) -> list[list[str]]:
    """One row a block: name, kind, settings, output shape, parameters, FLOPs."""
    shapes = network.infer_shapes()
    counted: set[str] = set()
    result = []
    for node in network.nodes:
        own = network.arrays.keys() - network.constants
        parameters = [o for o in node.operands if o in own and o not in counted]
        counted.update(parameters)
        operand_shapes = [
            network.arrays[o].shape if o in network.arrays else shapes[o] for o in node.operands
        ]
        result.append(
            [
                node.name,
                node.block.kind,
                node.block.settings(),
                times(shapes[node.name]),
                count(sum(network.arrays[o].size for o in parameters)),
                count(node.block.flops(*operand_shapes)),
            ]
        )
    return result


HEADER = ["name", "block", "settings", "output", "params", "FLOPs"]


def summary(network: Network) -> Text:
    """The table of `rows` with a title and totals."""
    shapes = network.infer_shapes()
    inputs = ", ".join(f"{printable(name)} {times(shapes[name])}" for name in network.inputs)
    total = sum(array.size for array in network.state_dict().values())
    body = table(HEADER, rows(network), right=(4, 5))
    return Text(
        f"{printable(network.name)}: {blocks(network)}, {total:,} parameters, "
        f"{count(network.flops)} FLOPs a run\ninput {inputs}\n{body}"
    )


def to_dot(network: Network, mirror: Network | None = None) -> str:
    """Graphviz text; the mirror's nodes stand beside the nodes whose signals they carry."""
    lines = [
        "digraph network {",
        '  rankdir=TB; node [shape=box, style="rounded,filled", fontname="Helvetica"];',
    ]
    lines += _cluster(network, "f", "#e8f0fe")
    if mirror is not None and mirror.mirror is not None:
        lines += _cluster(mirror, "r", "#fdeee4")
        own = {*network.inputs, *network.layers}
        for value, signal in mirror.mirror.signals.items():
            if value in own:
                lines.append(
                    f'  "f:{_escaped(value)}" -> "r:{_escaped(signal)}" '
                    f"[style=dotted, dir=none, constraint=false];"
                )
                lines.append(f'  {{rank=same; "f:{_escaped(value)}"; "r:{_escaped(signal)}";}}')
    return "\n".join([*lines, "}"])


def _cluster(network: Network, prefix: str, colour: str) -> list[str]:
    shapes = network.infer_shapes()
    lines = []
    for name in network.inputs:
        label = f"{_escaped(name)}\\n{times(shapes[name])}"
        lines.append(f'  "{prefix}:{_escaped(name)}" [label="{label}", fillcolor="white"];')
    kinds: dict[str, list[str]] = {}
    for node in network.nodes:
        box = _box(network, node.name)
        kinds.setdefault(box, []).append(node.block.kind)
        for operand in node.operands:
            if operand not in network.arrays and _box(network, operand) != box:
                source = _escaped(_box(network, operand))
                lines.append(f'  "{prefix}:{source}" -> "{prefix}:{_escaped(box)}";')
    for box, inside in kinds.items():
        label = f"{_escaped(box)}\\n{' > '.join(inside[:3])}  {times(shapes[box])}"
        lines.append(f'  "{prefix}:{_escaped(box)}" [label="{label}", fillcolor="{colour}"];')
    return list(dict.fromkeys(lines))


def _box(network: Network, name: str) -> str:
    """The box in which a value is drawn: steps of one reversal (call.T/Kind) share one."""
    whole, known = name.rpartition("/")[0], network.mirror.nodes if network.mirror else {}
    return whole if name in known and whole in known else name


def _escaped(name: str) -> str:
    return printable(name).replace("\\", "\\\\").replace('"', '\\"')


def to_html(network: Network) -> str:
    """The summary as an HTML table."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in HEADER)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows(network)
    )
    return f"<b>{html.escape(network.name)}</b><table><tr>{head}</tr>{body}</table>"
