"""The list of error codes is closed: what the code gives to partners and operators stands in it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from config.codes import CODES, is_known

ROOT = Path(__file__).parents[2]
PACKAGES = ("config", "shards", "handlers", "worker")
# A handler's own codes are its own; this one ships with the demo.
HANDLERS_OF_OTHERS = {ROOT / "handlers" / "sample.py"}
FORM = re.compile(r"[a-z][a-z0-9_]{0,63}")

# Where each of these takes its code, when it is not given by name.
CODE_POSITION = {
    "AttachmentFault": 0,
    "AttachmentsUnavailable": 0,
    "BadMessage": 0,
    "Deferral": 1,
    "Error": 0,
    "Failure": 1,
    "Reason": 0,
    "Refuse": 0,
    "Reject": 0,
    "Return": 1,
    "RowRefused": 0,
    "Verdict": 1,
    "_fault": 0,
    "_unknown": 0,
    "error_of": 0,
    "later": 1,
}


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Each call that takes a code: its name and the expression of the code."""
    for call in ast.walk(tree):
        name = getattr(call.func, "id", getattr(call.func, "attr", "")) if isinstance(call, ast.Call) else ""
        if not isinstance(call, ast.Call) or name not in CODE_POSITION:
            continue
        named = [keyword.value for keyword in call.keywords if keyword.arg == "code"]
        yield from ((name, code) for code in (named or call.args[CODE_POSITION[name] :])[:1])


def literals(code: ast.expr) -> list[str]:
    """The texts that the expression can be, as far as they stand in it."""
    if isinstance(code, ast.IfExp):
        return literals(code.body) + literals(code.orelse)
    return [code.value] if isinstance(code, ast.Constant) and isinstance(code.value, str) else []


def codes_in_use() -> dict[str, str]:
    """Every code that the packages write, with the file and line of one place."""
    found = {}
    for package in PACKAGES:
        for path in sorted(set((ROOT / package).rglob("*.py")) - HANDLERS_OF_OTHERS):
            for _, expression in calls(ast.parse(path.read_text(encoding="utf-8"))):
                place = f"{path.relative_to(ROOT)}:{expression.lineno}"
                found.update(dict.fromkeys(literals(expression), place))
    return found


def test_every_code_in_use_is_documented() -> None:
    """A partner's program decides by codes: none comes that the list does not explain."""
    used = codes_in_use()
    assert len(used) > 20
    assert {code: place for code, place in used.items() if not is_known(code)} == {}


def test_every_documented_code_is_in_use() -> None:
    """Nobody writes a program for a code that never comes."""
    constants = {
        constant.value
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path != ROOT / "config" / "codes.py"
        for constant in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(constant, ast.Constant)
    }
    assert set(CODES) - constants == set()


def test_codes_have_one_form_and_a_meaning() -> None:
    """Lower case and underscores, at most 64 characters; the meaning is one sentence or two."""
    for code, meaning in CODES.items():
        assert FORM.fullmatch(code), code
        assert meaning.endswith("."), code


def test_a_handlers_own_code_is_none_of_ours() -> None:
    """`Reject` may bring one; it is told from ours."""
    assert is_known("unique_violation")
    assert not is_known("order_closed")
