"""Whether a draft's file loads as a destination, as `config validate` would say: one that does not is not given out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from app.catalog import compile_document
from app.config.complaints import complaints_of
from app.config.embedding import embed
from app.config.schema import DestinationConfig, Document
from app.config.yaml import parse
from app.draft.credential import UNNAMED
from app.errors import Complaint, InvalidConfig, InvalidInput


def check(file: str, *, argument: str, causes: Mapping[str, str]) -> None:
    """Raise `InvalidInput` for a file that does not load.

    `argument` is what the draft was made of, and `causes` what there the settings come from, by what their places begin with.
    """
    data: dict[str, Any] = {}
    try:
        data = {"name": UNNAMED, **parse(file.encode(), argument).value}
        data = embed(data, Path(UNNAMED), line=lambda _: None)
        config = DestinationConfig.model_validate(data)
        compile_document(Document(destinations=[config]), 0, place=_place)
    except ValidationError as error:
        found = complaints_of(error, DestinationConfig, data)
    except InvalidConfig as error:
        found = list(error.complaints)
    else:
        return
    raise InvalidInput([_told(one, argument, causes) for one in found])


def _place(_kind: str, _name: str, field: str, detail: str, remedy: str | None) -> Complaint:
    return Complaint(field=field, detail=detail, remedy=remedy)


def _told(one: Complaint, argument: str, causes: Mapping[str, str]) -> Complaint:
    cause = next((f"{cause} " for start, cause in causes.items() if one.field.startswith(start)), "")
    detail = f"{cause}gives no valid destination: {one.field}: {one.detail}"
    return Complaint(field=argument, detail=detail, remedy=one.remedy)
