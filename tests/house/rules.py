"""What no linter knows to look for: the rules of this house about secrets, statements, calls to the outside and tasks.

usage: python -m tests.house.rules FOLDER…
Each finding names its rule and the reason. The way out is a comment on one of the lines, or on the line above:

    # allowed: <rule>: why it may be so here

A comment that allows what nobody does is a finding too.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_WAY_OUT = re.compile(r"# allowed: ([a-z-]+): \S")
_SECRET = re.compile(r"(?:^|_)(?:secret|token|password|passphrase|cookie|signature|mac|verifier|nonce|state|hash|digest)(?:_of)?$")
_SQL = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH|ALTER|CREATE|DROP|PRAGMA|UNION|FROM|WHERE)\s")
_CLIENTS = frozenset(
    {"aiohttp", "httpx", "httpx2", "requests", "urllib3", "urllib.request", "http.client", "smtplib", "imaplib", "poplib", "ftplib"}
)
_OUTBOUND = "api/outbound/"


@dataclass(frozen=True, slots=True)
class Finding:
    path: str
    line: int
    rule: str
    # It is a comment that allows this, where nobody does it.
    is_idle: bool = False

    def __str__(self) -> str:
        reason = "this comment allows what nobody does" if self.is_idle else REASONS[self.rule]
        return f"{self.path}:{self.line}: {self.rule}: {reason}"


@dataclass(frozen=True, slots=True)
class Module:
    path: str
    tree: ast.Module

    def statements(self) -> set[str]:
        """The names of this module that stand for SQL."""
        named: set[str] = set()
        for node in self.tree.body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and _is_sql(node.value):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                named |= {target.id for target in targets if isinstance(target, ast.Name)}
        return named


def secret_equality(module: Module) -> Iterator[ast.AST]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Compare) and all(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops):
            sides = [node.left, *node.comparators]
            if any(_is_secret(side) for side in sides) and not any(_is_written_down(side) for side in sides):
                yield node


def other_client(module: Module) -> Iterator[ast.AST]:
    if module.path.startswith(_OUTBOUND):
        return
    for node in ast.walk(module.tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        if any(name in _CLIENTS or name.partition(".")[0] in _CLIENTS for name in names):
            yield node


def made_statement(module: Module) -> Iterator[ast.AST]:
    statements = module.statements()
    for scope in _scopes(module.tree):
        for node in _within(scope):
            if any(not _is_harmless(part, scope) for part in _put_into_sql(node, statements)):
                yield node


def ownerless_task(module: Module) -> Iterator[ast.AST]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            of_asyncio = isinstance(node.func.value, ast.Name) and node.func.value.id == "asyncio"
            of_loop = "loop" in ast.unparse(node.func.value)
            if node.func.attr == "ensure_future" or (node.func.attr == "create_task" and (of_asyncio or of_loop)):
                yield node


def logged_error(module: Module) -> Iterator[ast.AST]:
    for handler in ast.walk(module.tree):
        if isinstance(handler, ast.ExceptHandler) and handler.name:
            for node in ast.walk(handler):
                if _is_logging(node) and any(_says_all(argument, handler.name) for argument in ast.iter_child_nodes(node)):
                    yield node


RULES: dict[str, Callable[[Module], Iterator[ast.AST]]] = {
    "secret-equality": secret_equality,
    "other-client": other_client,
    "made-statement": made_statement,
    "ownerless-task": ownerless_task,
    "logged-error": logged_error,
}
REASONS = {
    "secret-equality": "how long == takes tells how much of a secret was guessed; use hmac.compare_digest",
    "other-client": "only api.outbound checks where a call goes, and ends it; call through it",
    "made-statement": "what is put into SQL as text may be SQL; give it as a value, or put in only what is written down here",
    "ownerless-task": "nobody waits for this task and nobody hears of its failure; use a TaskGroup",
    "logged-error": "what an error of others says may repeat a secret; log its type, or a field that says only what we know",
}


def findings(path: str, source: str) -> list[Finding]:
    """What is against the rules in a file, and not allowed there."""
    module, lines = Module(path, ast.parse(source)), source.splitlines()
    allowed = {(match[1], number) for number, line in enumerate(lines, 1) for match in _WAY_OUT.finditer(line)}
    found, used = [], set()
    for rule, check in RULES.items():
        for node in check(module):
            first, last = node.lineno, node.end_lineno or node.lineno  # type: ignore[attr-defined]
            ways_out = {(rule, line) for line in range(first - 1, last + 1)} & allowed
            used |= ways_out
            if not ways_out:
                found.append(Finding(path, first, rule))
    return found + [Finding(path, line, rule, is_idle=True) for rule, line in sorted(allowed - used)]


def _is_secret(node: ast.expr) -> bool:
    """Whether what stands here is named like a secret."""
    match node:
        case ast.Tuple(elts=parts):
            return any(_is_secret(part) for part in parts)
        case ast.Call(func=ast.Attribute(attr="reveal")):
            return True
        case ast.Call(func=called):
            return _is_secret(called)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return bool(_SECRET.search(name))
    return False


def _is_written_down(node: ast.expr) -> bool:
    """Whether it is a constant, or a member of an enum: no secret is."""
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return isinstance(node, ast.Constant) or name.isupper()


def _is_sql(node: ast.expr) -> bool:
    text = node.values[0] if isinstance(node, ast.JoinedStr) and node.values else node
    return isinstance(text, ast.Constant) and isinstance(text.value, str) and bool(_SQL.match(text.value))


def _put_into_sql(node: ast.AST, statements: set[str]) -> list[ast.expr]:
    """What is put into a statement here as text."""

    def is_statement(part: ast.expr) -> bool:
        return _is_sql(part) or (isinstance(part, ast.Name) and (part.id in statements or part.id == "statement"))

    match node:
        case ast.JoinedStr(values=parts) if _is_sql(node):
            return [part.value for part in parts if isinstance(part, ast.FormattedValue)]
        case ast.BinOp(left=text, op=ast.Mod() | ast.Add(), right=part) if is_statement(text):
            return [part]
        case ast.Call(func=ast.Attribute(attr="format", value=text), args=parts, keywords=named) if is_statement(text):
            return [*parts, *(keyword.value for keyword in named)]
    return []


def _is_harmless(node: ast.expr, scope: ast.AST, depth: int = 8) -> bool:
    """Whether it can only be what is written down in this file, or a number: constants, and what is made of them."""
    if depth == 0:
        return False

    def all_harmless(*parts: ast.expr) -> bool:
        return all(_is_harmless(part, scope, depth - 1) for part in parts)

    match node:
        case ast.Constant() | ast.Call(func=ast.Name(id="len" | "int" | "_marks")):
            return True
        case ast.IfExp(body=then, orelse=otherwise):
            return all_harmless(then, otherwise)
        case ast.BinOp(left=left, right=right):
            # To add a number to a text fails.
            return any(isinstance(side, ast.Constant) and isinstance(side.value, int) for side in (left, right)) or all_harmless(
                left, right
            )
        case ast.BoolOp(values=parts):
            return all_harmless(*parts)
        case ast.JoinedStr(values=parts):
            return all_harmless(*(part.value for part in parts if isinstance(part, ast.FormattedValue)))
        case ast.GeneratorExp(elt=each) | ast.ListComp(elt=each):
            return all_harmless(each)
        case ast.Call(func=ast.Attribute(attr="join", value=between), args=[each]):
            return all_harmless(between, each)
        case ast.Call(func=ast.Attribute(attr="format", value=text), args=parts, keywords=named):
            return all_harmless(text, *parts, *(keyword.value for keyword in named))
        case ast.Name(id=name):
            return name.isupper() or _is_counted(name, scope) or (bool(given := _given(name, scope)) and all_harmless(*given))
    return False


def _is_counted(name: str, scope: ast.AST) -> bool:
    """Whether a name runs through the numbers of a range."""
    loops = [node for node in ast.walk(scope) if isinstance(node, ast.comprehension) and ast.unparse(node.target) == name]
    return bool(loops) and all(isinstance(loop.iter, ast.Call) and ast.unparse(loop.iter.func) == "range" for loop in loops)


def _given(name: str, scope: ast.AST) -> list[ast.expr]:
    """What a name is set to in a function."""
    assigned = [(target, node.value) for node in ast.walk(scope) if isinstance(node, ast.Assign) for target in node.targets]
    return [part for target, value in assigned for part in _part_for(name, target, value)]


def _part_for(name: str, target: ast.expr, value: ast.expr) -> Iterator[ast.expr]:
    """What of a value a name gets; the value itself where that is not to be told, so that nobody takes it for nothing."""
    match target, value:
        case ast.Name(id=given), _ if given == name:
            yield value
        case ast.Tuple(), ast.IfExp(body=then, orelse=otherwise):
            yield from _part_for(name, target, then)
            yield from _part_for(name, target, otherwise)
        case ast.Tuple(elts=targets), ast.Tuple(elts=values):
            for each, part in zip(targets, values, strict=False):
                yield from _part_for(name, each, part)
        case ast.Tuple(elts=targets), _ if name in map(ast.unparse, targets):
            yield value


def _scopes(tree: ast.Module) -> Iterator[ast.AST]:
    """The module, and each of its functions."""
    yield tree
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _within(scope: ast.AST) -> Iterator[ast.AST]:
    """What stands in a scope and not in another within it."""
    for node in ast.iter_child_nodes(scope):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            yield from _within(node)


def _is_logging(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "logger"


def _says_all(node: ast.AST, error: str) -> bool:
    """Whether an error is said whole: itself or its `args`, not one field of it."""
    match node:
        case ast.Call(func=ast.Name(id="type")):
            return False
        case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name == error:
            return attribute == "args"
        case ast.Name(id=name):
            return name == error
    return any(_says_all(child, error) for child in ast.iter_child_nodes(node))


def main(folders: list[str]) -> int:
    files = sorted(file for folder in folders for file in Path(folder).rglob("*.py"))
    found = [finding for file in files for finding in findings(file.as_posix(), file.read_text())]
    print("\n".join(str(finding) for finding in found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
