"""Character sets by the names that others know them by: IANA's, where Python has its own.

Source: IANA's registry of character sets, preferred MIME names first. It may not know bodies.
"""

import codecs
import re

# Python's name -> IANA's, where no rule below tells it.
_NAMES = {
    "ascii": "US-ASCII",
    "big5hkscs": "Big5-HKSCS",
    "big5": "Big5",
    "cp1140": "IBM01140",
    "cp858": "IBM00858",
    "cp874": "windows-874",
    "cp932": "Windows-31J",
    "euc_jp": "EUC-JP",
    "euc_kr": "EUC-KR",
    "gb18030": "GB18030",
    "gb2312": "GB2312",
    "gbk": "GBK",
    "hp-roman8": "hp-roman8",
    "hz": "HZ-GB-2312",
    "iso2022_jp": "ISO-2022-JP",
    "iso2022_jp_2": "ISO-2022-JP-2",
    "iso2022_kr": "ISO-2022-KR",
    "koi8-r": "KOI8-R",
    "koi8-u": "KOI8-U",
    "kz1048": "KZ-1048",
    "mac-roman": "macintosh",
    "ptcp154": "PTCP154",
    "shift_jis": "Shift_JIS",
    "tis-620": "TIS-620",
    "utf-16": "UTF-16",
    "utf-16-be": "UTF-16BE",
    "utf-16-le": "UTF-16LE",
    "utf-32": "UTF-32",
    "utf-32-be": "UTF-32BE",
    "utf-32-le": "UTF-32LE",
    "utf-8": "utf-8",
}
_CODECS = {name.lower(): codec for codec, name in _NAMES.items()}
_RULES = (
    (re.compile(r"iso8859-(\d+)"), r"ISO-8859-\1"),
    (re.compile(r"cp(125\d)"), r"windows-\1"),
    (re.compile(r"cp(037|273|424|437|500|775|85[0257]|86[0-69]|1026)"), r"IBM\1"),
)


def codec_of(name: str) -> str:
    """Python's name of a character set; raises `LookupError`."""
    try:
        return codecs.lookup(name).name
    except LookupError:
        return _CODECS[name.lower()]  # a KeyError is one


def iana_name(name: str) -> str:
    """IANA's name of a character set; of one that has none there, the name itself."""
    codec = codec_of(name)
    if codec in _NAMES:
        return _NAMES[codec]
    for pattern, written in _RULES:
        if pattern.fullmatch(codec):
            return pattern.sub(written, codec)
    return name
