"""Secrets by reference: `${env:NAME}` and `${file:/run/secrets/name}` in connection settings.

Settings are stored, versioned and shown with the references in them; they are resolved in memory, when a connector is made. The
environment is handed in (`app.settings` reads it), so nothing here knows where it comes from.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from app.config.base import SECRET_REFERENCE
from app.errors import ConfigurationFault

MAX_SECRET_BYTES = 65_536

_LOOKS_LIKE_REFERENCE = re.compile(r"\$\{([A-Za-z_]+):[^}]*\}")
_SECRET_WORDS = re.compile(
    r"(?:^|_)(?:password|passwd|passphrase|secrets?|token|api_?key|access_?key|private_?key|auth_?key|credentials?|authorization)"
    r"(?:$|_)"
)
# What such a word may be about without being one: `token_url`, `key_header`, `password_field`.
_ABOUT_SECRETS = re.compile(
    r"_(?:url|uri|header|field|param|parameter|name|path|type|prefix|in|seconds|id|file|method|encoding)$"
)
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[-. ]")


def resolve(value: Any, *, environ: Mapping[str, str]) -> Any:
    """The value with every reference inside its texts replaced; mappings and lists are copied.

    A file's last line break is dropped. Raises `ConfigurationFault` naming the reference that cannot be read.
    """
    match value:
        case str():
            return _resolve_text(value, environ)
        case Mapping():
            return {key: resolve(item, environ=environ) for key, item in value.items()}
        case list():
            return [resolve(item, environ=environ) for item in value]
        case _:
            return value


def references(value: Any) -> list[str]:
    """Every reference in the value's texts, as written, in order."""
    return [found.group() for _, text in _texts(value, ()) for found in SECRET_REFERENCE.finditer(text)]


def values(value: Any, *, environ: Mapping[str, str]) -> set[str]:
    """What the references in the value's texts stand for; raises as `resolve`."""
    return {_look_up(found, environ) for _, text in _texts(value, ()) for found in SECRET_REFERENCE.finditer(text)}


def looks_like_secret(name: str, value: Any) -> bool:
    """Whether a setting of this name holds a secret in clear: `password`, `apiKey`, `Authorization`, a URL with a password."""
    if not isinstance(value, str) or not value or SECRET_REFERENCE.search(value):
        return False
    plain = _WORD_START.sub("_", name).lower()
    if _SECRET_WORDS.search(plain) and not _ABOUT_SECRETS.search(plain):
        return True
    return "://" in value and "@" in value and _has_password(value)


def clear_secrets(settings: Mapping[str, Any]) -> list[str]:
    """Dotted paths of secrets that stand in the settings in clear; none of these may be stored."""
    return [".".join(path) for path, text in _texts(settings, ()) if looks_like_secret(_last_name(path), text)]


def _resolve_text(text: str, environ: Mapping[str, str]) -> str:
    for found in _LOOKS_LIKE_REFERENCE.finditer(text):
        if not SECRET_REFERENCE.fullmatch(found.group()):
            raise ConfigurationFault(f"{found.group()} is no reference: write ${{env:NAME}} or ${{file:/path}}")
    return SECRET_REFERENCE.sub(lambda found: _look_up(found, environ), text)


def _look_up(found: re.Match[str], environ: Mapping[str, str]) -> str:
    kind, name = found.groups()
    if kind == "env":
        if name not in environ:
            raise ConfigurationFault(f"{found.group()}: there is no such environment variable")
        return environ[name]
    path = Path(name)
    if not path.is_absolute():
        raise ConfigurationFault(f"{found.group()}: the path must be absolute")
    try:
        if path.stat().st_size > MAX_SECRET_BYTES:
            raise ConfigurationFault(f"{found.group()}: the file is longer than {MAX_SECRET_BYTES} bytes")
        return path.read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, ValueError) as error:
        raise ConfigurationFault(f"{found.group()}: the file cannot be read ({type(error).__name__})") from None


def _texts(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    match value:
        case str():
            yield path, value
        case Mapping():
            for key, item in value.items():
                yield from _texts(item, (*path, str(key)))
        case list():
            for place, item in enumerate(value):
                yield from _texts(item, (*path, str(place)))


def _last_name(path: tuple[str, ...]) -> str:
    return next((part for part in reversed(path) if not part.isdigit()), "")


def _has_password(url: str) -> bool:
    try:
        return bool(urlsplit(url).password)
    except ValueError:
        return False
