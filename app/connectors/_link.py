"""The Link header (RFC 8288): where the next page is. Pure; what cannot be read names nothing."""

import re

_LONGEST = 8192
_TARGET = re.compile(r"\s*<([^<>]*)>([^<]*)")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_REL = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))', re.IGNORECASE)


def next_link(header: str) -> str:
    """The target of the first link whose relation is `next`, as it stands; "" if there is none."""
    for found in _TARGET.finditer(header[:_LONGEST]):
        target, parameters = found.groups()
        relation = _REL.search(_without_other_texts(parameters))
        if relation and "next" in (relation[1] or relation[2] or "").lower().split():
            return str(target)
    return ""


def _without_other_texts(parameters: str) -> str:
    """The parameters without quoted texts that are no relation: a title may hold what looks like one."""

    def kept(found: re.Match[str]) -> str:
        before = parameters[: found.start()].rstrip()
        name = before.removesuffix("=").rstrip().rpartition(";")[2].strip().lower()
        return found[0] if before.endswith("=") and name == "rel" else '""'

    return _QUOTED.sub(kept, parameters)
