"""The IAM policies: everything that the code calls is allowed, and nothing more."""

import ast
import json
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

from worker.beside import key_beside

ROOT = Path(__file__).parents[2]
POLICIES = ROOT / "infra" / "iam"
OUR_FOLDERS = ("worker", "handlers", "shards", "config")
SERVICES = ("sqs", "s3", "autoscaling", "scheduler", "events", "sts", "cloudwatch")
TRANSPORT = ROOT / "worker" / "transports" / "sqs.py"
PLACEHOLDERS = {
    *("REGION", "ACCOUNT", "GROUP"),
    *("REQUEST_QUEUE", "RESPONSE_QUEUE", "FAILURE_QUEUE", "ATTACHMENT_BUCKET", "MESSAGE_BUCKET"),
}
OTHERWISE_NAMED = {
    "receive_message": {"sqs:ReceiveMessage"},
    "delete_message_batch": {"sqs:DeleteMessage"},
    "change_message_visibility_batch": {"sqs:ChangeMessageVisibility"},
    "send_message_batch": {"sqs:SendMessage"},
    "get_object": {"s3:GetObject", "s3:GetObjectVersion"},
    "head_bucket": {"s3:ListBucket"},
}
"""IAM's names where they are not the operation's own; reading a version is a right of its own."""


def operations() -> dict[str, tuple[str, str]]:
    """Each operation of the services, as Python calls it: the service and the API's name of it."""
    session = botocore.session.get_session()
    return {
        xform_name(name): (service, name)
        for service in SERVICES
        for name in session.get_service_model(service).operation_names
    }


OPERATIONS = operations()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def called_operations(node: ast.AST) -> set[str]:
    """The operations that stand in the code, as a method or as a text that names one."""
    words = {
        each.attr if isinstance(each, ast.Attribute) else each.value
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute | ast.Constant) and not is_of_socket(each)
    }
    return {word for word in words if isinstance(word, str) and word in OPERATIONS}


def is_of_socket(node: ast.AST) -> bool:
    """Whether it is a function of the standard library's, such as `socket.create_connection`."""
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "socket"


def actions(called: Iterable[str]) -> set[str]:
    """The actions that IAM has to allow for these operations."""
    found: set[str] = set()
    for operation in called:
        service, name = OPERATIONS[operation]
        found |= OTHERWISE_NAMED.get(operation, {f"{service}:{name}"})
    return found


def our_files() -> list[Path]:
    return [path for folder in OUR_FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


def of_the_daemon() -> list[Path]:
    """The files that only the commands use are left out."""
    commands = ("worker/cli/", "worker/demo/")
    return [path for path in our_files() if not path.relative_to(ROOT).as_posix().startswith(commands)]


def transport_methods() -> dict[str, set[str]]:
    """Each method of the SQS transport, with all operations that it calls, itself or by another method."""
    methods = {node.name: node for node in ast.walk(tree_of(TRANSPORT)) if isinstance(node, ast.FunctionDef)}
    direct = {name: called_operations(node) for name, node in methods.items()}
    uses = {name: called_names(node) & methods.keys() for name, node in methods.items()}
    for _ in methods:
        direct = {name: set().union(direct[name], *(direct[used] for used in uses[name])) for name in methods}
    return direct


def called_names(node: ast.AST) -> set[str]:
    """The names of all methods that are called."""
    return {
        call.func.attr
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
    }


def daemon_s_operations() -> set[str]:
    """What the daemon and the watcher call: of the transport only the methods that they use."""
    files = [path for path in of_the_daemon() if path != TRANSPORT]
    callers = [
        path for path in files if path.is_relative_to(ROOT / "worker") and path.parent != TRANSPORT.parent
    ]
    used = set().union(*(called_names(tree_of(path)) for path in callers))
    by_transport = (called for name, called in transport_methods().items() if name in used)
    return set().union(*by_transport, *(called_operations(tree_of(path)) for path in files))


def statements(name: str) -> Iterator[dict[str, Any]]:
    yield from json.loads((POLICIES / f"{name}-policy.json").read_text(encoding="utf-8"))["Statement"]


def allowed(name: str) -> set[str]:
    return {action for statement in statements(name) for action in statement["Action"]}


def resources(statement: dict[str, Any]) -> list[str]:
    return [statement["Resource"]] if isinstance(statement["Resource"], str) else statement["Resource"]


def test_workers_may_do_what_they_call_and_nothing_more() -> None:
    """A right that is missing is found out at night; one too many, by whoever breaks in."""
    assert allowed("worker") == actions(daemon_s_operations())


def test_operators_may_do_what_the_commands_call_and_nothing_more() -> None:
    """All that any part calls, but for what the watcher does with its own machine."""
    everything = set().union(*(called_operations(tree_of(path)) for path in our_files()))

    assert allowed("operator") == {
        action for action in actions(everything) if not action.startswith("autoscaling:")
    }


def test_every_client_that_the_code_makes_is_looked_at() -> None:
    """A new service is noticed, and its operations with it."""
    made = {
        call.args[0].value
        for path in our_files()
        for call in ast.walk(tree_of(path))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in {"client", "resource"}
        and call.args
        and isinstance(call.args[0], ast.Constant)
    }

    assert made
    assert made <= set(SERVICES)


def test_objects_are_written_under_the_prefixes_of_the_worker_s_own_messages() -> None:
    """Elsewhere in the bucket lie the messages of others."""
    source = (ROOT / "worker" / "letters.py").read_text(encoding="utf-8")
    written = [one for each in writes() for one in resources(each) if "MESSAGE_BUCKET" in one]

    assert set(re.findall(r'f"(\w+)/\{', source)) == {resource.split("/")[1] for resource in written}


@pytest.mark.parametrize("attachment_key", ["acme/01JD/lines.csv", "acme/" + "x" * 1000])
def test_files_are_put_beside_attachments_into_folders_of_their_own(attachment_key: str) -> None:
    """Whatever the attachment is called; and no attachment can be overwritten."""
    (pattern,) = [one for each in writes() for one in resources(each) if "ATTACHMENT_BUCKET" in one]
    allowed_keys = pattern.partition("/")[2]

    assert fnmatchcase(key_beside("acme", attachment_key, "01JD.1.c-1.abc.rejected.csv"), allowed_keys)
    assert not fnmatchcase(attachment_key, allowed_keys)


def writes() -> list[dict[str, Any]]:
    return [one for one in statements("worker") if "s3:PutObject" in one["Action"]]


def writes_objects(node: ast.AST) -> bool:
    """Whether it is a call that puts an object into a store, itself or as a claim check."""
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Attribute):
        return node.func.attr in {"put", "put_file"} and ast.unparse(node.func.value).endswith("store")
    return isinstance(node.func, ast.Name) and node.func.id == "offload"


def test_the_daemon_has_no_other_prefixes() -> None:
    """All that it writes, it writes as letters or beside attachments."""
    writers = {path.name for path in of_the_daemon() if any(map(writes_objects, ast.walk(tree_of(path))))}

    assert writers == {"letters.py", "claim_check.py", "beside.py"}


@pytest.mark.parametrize("name", ["worker", "operator"])
def test_a_policy_names_resources_and_only_known_placeholders(name: str) -> None:
    """Nothing is allowed everywhere but what knows no resource."""
    for statement in statements(name):
        for resource in resources(statement):
            assert resource != "*" or all("autoscaling:Describe" in one for one in statement["Action"])
            assert set(re.findall(r"[A-Z][A-Z_]+", resource)) <= PLACEHOLDERS
            assert len(resource.split(":", 5)) == 6 or resource == "*"
