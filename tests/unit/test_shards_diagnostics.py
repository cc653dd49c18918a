"""The names in a database's error: tables, columns and rules, and never a value."""

from hypothesis import given
from hypothesis import strategies as st

from shards.diagnostics import read_names


@given(st.text(), st.text(), st.text())
def test_no_value_is_read_as_a_name_from_postgresql(one: str, two: str, three: str) -> None:
    """The columns stand before the values: what the values look like does not matter."""
    assert names_in_detail(f"Key (order_no, name)=({one}, {two}) already exists.{three}") == (
        "order_no",
        "name",
    )


@given(st.text())
def test_an_expression_s_key_gives_no_column(value: str) -> None:
    """Nor does it give a value as one."""
    assert names_in_detail(f"Key (lower(name::text))=({value})=({value}) already exists.") == ()


def names_in_detail(detail: str) -> tuple[str, ...]:
    class Diagnostics:
        table_name = "orders"
        column_name = None
        constraint_name = "orders_key"
        message_detail = detail

    error = Exception()
    error.diag = Diagnostics  # type: ignore[attr-defined]  # as psycopg's errors have it
    return read_names(error, "postgresql").columns
