"""The Query protocol of SQS, forms in and XML out, which older clients speak: Symfony 5.4's is one."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

NAMESPACE: Final = "http://queue.amazonaws.com/doc/2012-11-05/"
CONTENT_TYPE: Final = "text/xml"
INTEGERS: Final = {"DelaySeconds", "MaxNumberOfMessages", "VisibilityTimeout", "WaitTimeSeconds"}
LINE_ENDS: Final = {"\r": "&#13;", "\n": "&#10;"}
"""A reader of XML takes both for one line end, if they are not written so."""


def read_query(body: bytes) -> tuple[str, dict[str, Any]]:
    """A request's action, and its parameters as the JSON protocol has them."""
    tree: dict[str, Any] = {}
    for path, value in parse_qsl(body.decode(), keep_blank_values=True):
        *places, name = path.split(".")
        node = tree
        for place in places:
            node = node.setdefault(place, {})
        node[name] = int(value) if name in INTEGERS else value
    action: str = tree.pop("Action")
    return action, dict(_member(name, value) for name, value in tree.items())


def write_answer(action: str, answer: Mapping[str, Any]) -> bytes:
    """What the JSON protocol would answer, as XML."""
    result = _element(f"{action}Result", _members(answer)) if answer else ""
    metadata = _element("ResponseMetadata", _element("RequestId", "1"))
    return f'<{action}Response xmlns="{NAMESPACE}">{result}{metadata}</{action}Response>'.encode()


def write_error(code: str, text: str) -> bytes:
    """An error, by the code that this protocol has for it."""
    error = _element("Type", "Sender") + _element("Code", code) + _element("Message", escape(text))
    return f'<ErrorResponse xmlns="{NAMESPACE}">{_element("Error", error)}</ErrorResponse>'.encode()


def _member(name: str, value: Any) -> tuple[str, Any]:
    """A parameter; numbered ones (`Attribute.1.Name`, `AttributeName.1`) as a mapping or a list."""
    if not isinstance(value, dict):
        return name, value
    items = [value[number] for number in sorted(value, key=int)]
    if all(isinstance(item, str) for item in items):
        return f"{name}s", items
    return f"{name}s", {item["Name"]: item["Value"] for item in items}


def _members(values: Mapping[str, Any]) -> str:
    return "".join(_written(name, value) for name, value in values.items())


def _written(name: str, value: Any) -> str:
    single = name.removesuffix("s")
    if isinstance(value, list):
        return "".join(_element(single, _members(item)) for item in value)
    if isinstance(value, Mapping):
        return "".join(_element(single, _pair(*item)) for item in value.items())
    return _element(name, escape(str(value), LINE_ENDS))


def _pair(name: str, value: Any) -> str:
    inner = _members(value) if isinstance(value, Mapping) else escape(value, LINE_ENDS)
    return _element("Name", escape(name)) + _element("Value", inner)


def _element(name: str, content: str) -> str:
    return f"<{name}>{content}</{name}>"
