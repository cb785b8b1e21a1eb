"""The charsets that a server may name: those of text, whose decoding takes time in proportion to its length."""

from __future__ import annotations

import codecs
from functools import lru_cache
from typing import Final

# what codecs call themselves; not among them are punycode and idna (quadratic), escapes, utf-7, and what is no text
CHARSETS: Final = frozenset(
    (
        *("ascii", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"),
        *(f"iso8859-{part}" for part in range(1, 17) if part != 12),
        "cp037",
        *(f"cp{page}" for page in (273, 424, 437, 500, 737, 775, 850, 852, 855, 857, 858, *range(860, 867), 869)),
        *(f"cp{page}" for page in (720, 856, 874, 932, 949, 950, 1006, 1026, 1125, 1140, *range(1250, 1259))),
        *("koi8-r", "koi8-u", "koi8-t", "kz1048", "ptcp154", "tis-620", "hp-roman8"),
        *("mac-roman", "mac-cyrillic", "mac-greek", "mac-iceland", "mac-latin2", "mac-turkish"),
        *("gb2312", "gbk", "gb18030", "hz", "big5", "big5hkscs", "euc_kr", "johab", "iso2022_kr"),
        *("shift_jis", "shift_jis_2004", "shift_jisx0213", "euc_jp", "euc_jis_2004", "euc_jisx0213"),
        *(f"iso2022_jp{variant}" for variant in ("", "_1", "_2", "_2004", "_3", "_ext")),
    )
)


LONGEST: Final = 40
"""Characters of a name; what is longer is none."""


def is_charset(name: str) -> bool:
    """True if text may be decoded by it."""
    return len(name) <= LONGEST and _is_listed(name)


@lru_cache(maxsize=256)
def _is_listed(name: str) -> bool:
    try:
        return codecs.lookup(name).name in CHARSETS
    except (LookupError, ValueError):
        return False
