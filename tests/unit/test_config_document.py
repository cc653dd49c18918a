"""docs/configuration.md: every section and key, with the default that holds."""

import re
import tomllib
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import pytest
from pydantic import BaseModel, create_model

from config.problems import expectation_at
from config.settings import Settings

DOCUMENT = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (required|-|`.*?`) \| (.+) \|$", re.MULTILINE)

NAMED_BY_THE_FILE = {"types", "partners", "shards", "servers"}
SECTIONS: dict[str, tuple[str | int, ...]] = {
    '[types."orders.insert"]': ("types", "orders.insert"),
    "[partners.acme]": ("partners", "acme"),
    "[shards.eu1]": ("shards", "eu1"),
    '[servers."db1.internal:5432"]': ("servers", "db1.internal:5432"),
    "[directory.catalog]": ("directory", "catalog"),
    "[directory.customers]": ("directory", "customers", "c-1"),
    "[symfony.messages]": ("symfony", "messages", "App\\Message\\ImportJob"),
    "[[handlers.insert]]": ("handlers", "insert", 0),
    **{f"[{name}]": (name,) for name in sorted(set(Settings.model_fields) - NAMED_BY_THE_FILE)},
}
LIKE_ANOTHER = {"[directory.catalog]": "Its keys are those of a shard."}


def model_of(heading: str) -> type[BaseModel]:
    place = expectation_at(Settings, SECTIONS[heading])
    assert place is not None
    model: type[BaseModel] = place.annotation
    return model


def section_of(heading: str) -> str:
    return DOCUMENT.split(f"### `{heading}`\n", 1)[1].split("\n#", 1)[0]


def documented(heading: str) -> dict[str, str]:
    return {name: default for name, default, _ in ROW.findall(section_of(heading))}


def test_the_document_has_every_section_and_no_other() -> None:
    """Headings of the third level are the sections of the file."""
    headings = re.findall(r"^### `(.+)`$", DOCUMENT, re.MULTILINE)

    assert sorted(headings) == sorted(SECTIONS)


@pytest.mark.parametrize("heading", [heading for heading in SECTIONS if heading not in LIKE_ANOTHER])
def test_a_section_s_table_has_every_key_with_its_default(heading: str) -> None:
    """In the models' order, but for keys with a heading of their own; a default as the file writes it."""
    model = model_of(heading)
    names = {field.alias or name: name for name, field in model.model_fields.items()}
    expected = {
        key: shown_default(model, name)
        for key, name in names.items()
        if f"{heading[:-1]}.{key}]" not in SECTIONS
    }

    assert documented(heading) == expected
    assert list(documented(heading)) == list(expected)


def shown_default(model: type[BaseModel], name: str) -> str:
    """`required`, `-`, or what the document shows if that means the model's default."""
    field = model.model_fields[name]
    if field.is_required():
        return "required"
    if NoneType in get_args(field.annotation):
        return "-"
    shown = next(documented(heading) for heading in SECTIONS if model_of(heading) is model)[
        field.alias or name
    ]
    written = tomllib.loads(f"value = {shown.strip('`')}")["value"]
    annotation: Any = field.annotation
    read = create_model("One", value=(annotation, field)).model_validate({"value": written})
    return shown if dict(read)["value"] == field.default else f"not {shown}"


@pytest.mark.parametrize(("heading", "sentence"), LIKE_ANOTHER.items())
def test_a_section_like_another_says_so_and_has_no_table_of_its_own(heading: str, sentence: str) -> None:
    """The same model stands once; the sentence leads there."""
    tables = [other for other in SECTIONS if other != heading and model_of(other) is model_of(heading)]

    assert sentence in section_of(heading)
    assert documented(heading) == {}
    assert len(tables) == 1
