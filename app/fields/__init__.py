"""Typed fields: how a producer's raw values become a lead's.

`FieldSpecs` is compiled once per source and configuration version; `read` is what intake calls for every lead. Nothing
here does I/O or knows where a lead is stored. Reading order: names (types that come with a name), text (what can be
stored at all), phone, place and scalar (the readers), specs (all of them together).
"""

from app.fields.specs import FieldSpecs, ReadFields

__all__ = ["FieldSpecs", "ReadFields"]
