"""What every section of the configuration has in common."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _refuse_fractions(value: Any) -> Any:
    if isinstance(value, bool | float):
        raise ValueError("expected a whole number")  # noqa: TRY004  # pydantic collects ValueError only
    return value


Whole = Annotated[int, BeforeValidator(_refuse_fractions)]


class Section(BaseModel):
    """A section of the file: unknown keys are errors, values are fixed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)
