"""A shell command cut into words as POSIX shells and bash do: quotes, escapes, continued lines, $'...'.

Nothing is executed: a variable becomes a reference to the environment, `${env:NAME}`; what would run a program is refused.
"""

import re
from dataclasses import dataclass, field

from app.errors import Complaint, InvalidInput

_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
_ANSI = {
    "a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "'": "'", '"': '"', "?": "?",
}  # fmt: skip
_ANSI_ESCAPE = re.compile(
    r"\\(?:x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|([0-7]{1,3})|c(.)|(.))", re.DOTALL
)
_ENDS = frozenset(";|&<>()")
_WINDOWS = re.compile(r"\^\r?\n|\s\^\"")
"""Escapes of cmd.exe, as a browser's "copy as cURL (cmd)" has them."""
_BLANK = " \t\r"


@dataclass(slots=True)
class _Reader:
    text: str
    at: int = 0
    words: list[str] = field(default_factory=list)
    word: list[str] | None = None

    def add(self, text: str) -> None:
        self.word = [*(self.word or []), text]

    def end_word(self) -> None:
        if self.word is not None:
            self.words.append("".join(self.word))
        self.word = None


def split(command: str) -> tuple[list[str], str]:
    """The words of the first command, and what follows it (a pipe, a redirection, another command); raises `InvalidInput`."""
    if _WINDOWS.search(command):
        raise _invalid("is written for the Windows command line", 'copy it as "cURL (bash)"')
    reader = _Reader(command.strip())
    text = reader.text
    while reader.at < len(text):
        letter = text[reader.at]
        if letter in _BLANK:
            reader.end_word()
            reader.at += 1
        elif letter == "\n" or letter in _ENDS:
            if letter == "\n" and not text[reader.at :].strip():
                break
            reader.end_word()
            return reader.words, text[reader.at :].strip()
        elif letter == "#" and reader.word is None:
            end = text.find("\n", reader.at)
            reader.at = len(text) if end < 0 else end
        else:
            _read_part(reader, letter)
    reader.end_word()
    return reader.words, ""


def _read_part(reader: _Reader, letter: str) -> None:
    text, at = reader.text, reader.at
    if letter == "\\":
        following = text[at + 1 : at + 3]
        step = 3 if following == "\r\n" else 2
        if not following.startswith(("\n", "\r\n")):
            reader.add(following[:1])
        reader.at += step
    elif letter == "'":
        end = text.find("'", at + 1)
        _check(end >= 0, "a ' is not closed")
        reader.add(text[at + 1 : end])
        reader.at = end + 1
    elif letter == '"':
        reader.at += 1
        _read_double(reader)
    elif text.startswith("$'", at):
        reader.at += 2
        _read_ansi(reader)
    elif text.startswith('$"', at):  # a translated text, as a browser's copy may have it
        reader.at += 1
    else:
        _read_expansion(reader, letter)


def _read_double(reader: _Reader) -> None:
    reader.add("")
    text = reader.text
    while True:
        _check(reader.at < len(text), 'a " is not closed')
        letter = text[reader.at]
        if letter == '"':
            reader.at += 1
            return
        if letter == "\\" and text[reader.at + 1 : reader.at + 2] in {"$", "`", '"', "\\", "\n"}:
            reader.add(text[reader.at + 1].replace("\n", ""))
            reader.at += 2
        else:
            _read_expansion(reader, letter)


def _read_expansion(reader: _Reader, letter: str) -> None:
    if letter == "`" or reader.text.startswith("$(", reader.at):
        raise _invalid("runs another program inside", "put its result in")
    found = _VARIABLE.match(reader.text, reader.at) if letter == "$" else None
    if found:
        reader.add(f"${{env:{found[1] or found[2]}}}")
        reader.at = found.end()
    else:
        reader.add(letter)
        reader.at += 1


def _read_ansi(reader: _Reader) -> None:
    r"""The rest of a $'...' (bash, ANSI-C quoting); \x.. and octal are bytes of UTF-8."""
    found = re.compile(r"((?:[^'\\]|\\.)*)'", re.DOTALL).match(reader.text, reader.at)
    _check(found is not None, "a $' is not closed")
    assert found is not None
    raw = b""
    at = 0
    for escape in _ANSI_ESCAPE.finditer(found[1]):
        raw += found[1][at : escape.start()].encode() + _escaped(escape)
        at = escape.end()
    raw += found[1][at:].encode()
    reader.add(raw.decode(errors="replace"))
    reader.at = found.end()


def _escaped(escape: re.Match[str]) -> bytes:
    byte, short, long, octal, control, letter = escape.groups()
    if byte or octal:
        return bytes([int(byte, 16) if byte else int(octal, 8) & 0xFF])
    if short or long:
        point = int(short or long, 16)
        _check(point <= 0x10FFFF and not 0xD800 <= point <= 0xDFFF, "an escape in $'...' is no character")  # noqa: PLR2004  # Unicode
        return chr(point).encode()
    if control:
        return bytes([ord(control.upper()) & 0x1F])
    return _ANSI.get(letter, f"\\{letter}").encode()


def _check(holds: bool, detail: str) -> None:  # noqa: FBT001  # a condition is what it takes
    if not holds:
        raise _invalid(detail)


def _invalid(detail: str, remedy: str | None = None) -> InvalidInput:
    return InvalidInput([Complaint(field="command", detail=detail, remedy=remedy)])
