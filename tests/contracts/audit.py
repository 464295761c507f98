"""A look at every message in the source: what somebody gave may only be written by `shown`.

A message is what a ``raise`` or ``warnings.warn`` says. What stands in its braces is *short* where
it cannot be long and cannot carry numpy's types: a number with a format, a length, the name of a
type, a constant of the module, or what `shown` and its kin have cut.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CUTTERS = {"shown", "nearest", "excerpt", "named", "said", "len", "round", "int", "ordinal"}
SHORT_PARTS = {"__name__", "strerror", "ndim", "msg", "version_info"}
OURS = {"what", "who", "where", "kind", "wanted"}  # words that our own code hands to its checks
CALLS = {"warn", "warning"}


class Offence(NamedTuple):
    """An expression in a message that nothing cuts."""

    line: int
    expression: str


def offences(path: Path) -> list[Offence]:
    """Every expression of a module's messages that is not short, in order."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    helpers = {f"{one.name}()": _returned(one) for one in functions if one.name.startswith("_")}
    found = set()
    for function in (tree, *functions):
        names = helpers | assigned(function)
        for message in messages(function):
            for part in long_parts(message, names):
                found.add(Offence(part.lineno, ast.unparse(part)))
    return sorted(found)


def messages(function: ast.AST) -> Iterator[ast.expr]:
    """The arguments of what is raised or warned directly in a function (or in a module)."""
    for node in own(function):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield from node.exc.args
        elif isinstance(node, ast.Call) and _called(node) in CALLS:
            yield from node.args[:1]


def own(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function less those of functions inside it."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef | ast.ClassDef) or isinstance(
            function, ast.Module
        ):
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                continue
            yield child
            yield from own(child)


def assigned(function: ast.AST) -> dict[str, list[ast.expr]]:
    """Name to what a function assigns to it; a name of anything else is not there."""
    found: dict[str, list] = {}
    for node in own(function):
        if isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
        elif isinstance(node, ast.NamedExpr | ast.AugAssign):
            pairs = [(node.target, node.value)]
        elif isinstance(node, ast.For | ast.comprehension):
            few = isinstance(node.iter, ast.Tuple | ast.List) or _few(node.iter)
            names = node.iter.elts if isinstance(node.iter, ast.Tuple | ast.List) else []
            constant = all(isinstance(one, ast.Constant) for one in names) and few
            pairs = [(node.target, ast.Constant(""))] if constant else []
        else:
            continue
        for target, value in pairs:
            both = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
            parts = zip(target.elts, value.elts, strict=False) if both else [(target, value)]
            for one, its in parts:
                if isinstance(one, ast.Name):
                    found.setdefault(one.id, []).append(its)
    return found


def _returned(function: ast.FunctionDef) -> list[ast.expr]:
    """What a helper of the module returns, its own names put in."""
    names = assigned(function)
    values = [n.value for n in own(function) if isinstance(n, ast.Return) and n.value]
    told = [value for one in values for value in names.get(getattr(one, "id", ""), [one])]
    parts = [part for one in told for part in long_parts(one, names)]
    return parts or [ast.Constant("")]


def long_parts(message: ast.expr, names: dict[str, list[ast.expr]]) -> list[ast.expr]:
    """The expressions in the braces of a message that are not short."""
    if isinstance(message, ast.JoinedStr):
        return [
            part.value if part.conversion < 0 else _with_repr(part.value)
            for part in message.values
            if isinstance(part, ast.FormattedValue) and not is_short(part, names)
        ]
    return [] if is_short(message, names) else [message]


def _with_repr(value: ast.expr) -> ast.expr:
    call = ast.Call(ast.Name("repr"), [value], [])
    return ast.copy_location(call, value)


def is_short(node: ast.expr, names: dict[str, list[ast.expr]], seen: frozenset = frozenset()):
    """Whether what this writes is short, whatever somebody gave."""

    def short(*nodes):
        return all(is_short(one, names, seen) for one in nodes)

    match node:
        case ast.Constant():
            return True
        case ast.FormattedValue(value=value, conversion=conversion, format_spec=spec):
            return _is_number_format(spec) or (short(value) and (conversion < 0 or _named(value)))
        case ast.JoinedStr(values=values):
            return short(*values)
        case ast.Name(id=name) if name in names and name not in seen:
            return all(is_short(value, names, seen | {name}) for value in names[name])
        case ast.Name(id=name):
            return name.isupper() or name in OURS
        case ast.Attribute(value=ast.Name(id="self"), attr="name" | "label"):
            return True  # of a control, an explorer or a model
        case ast.Attribute(attr=name):
            return name.isupper() or name in SHORT_PARTS
        case ast.IfExp(body=one, orelse=other):
            return short(one, other)
        case ast.BinOp(left=one, right=other):
            return short(one, other)
        case ast.BoolOp(values=values):
            return short(*values)
        case ast.Subscript(slice=ast.Slice(lower=None, upper=ast.Constant())):
            return isinstance(node.value, ast.Subscript)  # a text that is cut right there
        case ast.Call(func=ast.Attribute(attr="join"), args=[each]):
            return _few(each) and (
                isinstance(each, ast.Name | ast.Attribute) or short(_element(each))
            )
        case ast.Call(func=ast.Attribute(attr=method, value=value)) if method in ("strip", "lower"):
            return short(value)
        case ast.Call():
            helper = names.get(f"{_called(node)}()")
            return _called(node) in CUTTERS or (helper is not None and short(*helper))
    return False


def _named(value: ast.expr) -> bool:
    return isinstance(value, ast.Name | ast.Attribute | ast.Constant | ast.IfExp)


def _is_number_format(spec: ast.expr | None) -> bool:
    """Formats that only a number takes."""
    return spec is not None and ast.unparse(spec)[-2:-1] in tuple("gfe%d,")


def _called(call: ast.Call) -> str:
    return getattr(call.func, "id", getattr(call.func, "attr", ""))


def _few(each: ast.expr) -> bool:
    """Whether so few are joined: a slice, or a constant of the module."""
    if isinstance(each, ast.GeneratorExp | ast.ListComp):
        return _few(each.generators[0].iter)
    if isinstance(each, ast.Call) and _called(each) in ("map", "sorted"):
        return _few(each.args[-1])
    if isinstance(each, ast.Subscript):
        return isinstance(each.slice, ast.Slice)
    name = getattr(each, "id", getattr(each, "attr", ""))
    return name.isupper()


def _element(each: ast.expr) -> ast.expr:
    """One of those that are joined."""
    if isinstance(each, ast.GeneratorExp | ast.ListComp):
        return each.elt
    if isinstance(each, ast.Call) and _called(each) == "map":
        function = each.args[0]
        constant = _few(each.args[1]) and not isinstance(each.args[1], ast.Subscript)
        return ast.Constant("") if constant else ast.Call(function, [], [])
    return each
