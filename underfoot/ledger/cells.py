"""One cell of a ledger → one value. A `ValueError` says what would be allowed, in Chinese and English.

Cells are text here, whatever the file was: spreadsheets turn codes into numbers, and Chinese exports prefix an
apostrophe or append a tab so that they do not.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from contextlib import suppress
from decimal import Decimal

from underfoot.families import FAMILIES
from underfoot.ledger.areas import LEVELS, PROVINCES, without_padding
from underfoot.ledger.kinds import KIND_BY_NAME
from underfoot.topics import DEVICE_ID

LONGEST_TEXT = 500
LONGEST_TAG = 64
LONGEST_INTERVAL_S = 366 * 86_400

_EXCEL_ERRORS = frozenset({"#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!", "#CALC!"})
_AS_FORMULA = re.compile(r'="(?P<inner>[^"]*)"')
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_DATE = re.compile(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?(?:[ T]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?", re.ASCII)
_COMPACT_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})", re.ASCII)
_INTERVAL = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[a-z一-龥]*)", re.ASCII | re.IGNORECASE)
_SECONDS = {
    "": 1,
    **dict.fromkeys(("s", "sec", "秒"), 1),
    **dict.fromkeys(("min", "m", "分", "分钟"), 60),
    **dict.fromkeys(("h", "小时", "时"), 3600),
    **dict.fromkeys(("d", "天", "日"), 86_400),
}
_FAMILIES = {
    **{name: name for name in FAMILIES},
    **{family.label: name for name, family in FAMILIES.items()},
    "井盖": "cover",
    "灯杆": "lamp",
    "雨量计": "rain",
}
_BORE = re.compile(r"(?:dn|d|φ|ø)?\s*(?P<number>[^\s]*?)\s*(?:mm|毫米)?", re.IGNORECASE)
_METRES = re.compile(r"(?P<number>[^\s]*?)\s*(?:m|米)?", re.IGNORECASE)
_PLAIN = re.compile(r"(?P<number>.*)")
_PIPE_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_CODEC = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)
_STATUSES = {"in_service": "in_service", "maintenance": "maintenance", "retired": "retired"}
_STATUSES |= {"在用": "in_service", "检修": "maintenance", "退役": "retired"}
_PLACES = {"road": "road", "路段": "road", "underpass": "underpass", "下穿": "underpass"}
_NETWORKS = {"foul": "foul", "污水": "foul", "storm": "storm", "雨水": "storm"}
OBJECT_STATES = ("完好", "破损", "丢失", "废弃")


def text(cell: str) -> str:
    """The cell's text without the marks that keep a spreadsheet from reading it as a number."""
    value = cell.strip()
    if value.startswith(("=", "'", "`")):
        formula = _AS_FORMULA.fullmatch(value)
        value = (formula["inner"] if formula else value.lstrip("'`")).strip()
    if value in _EXCEL_ERRORS:
        raise ValueError("表格公式出错 · the spreadsheet's formula failed: put the value itself")
    if _CONTROL.search(value):
        raise ValueError("含有控制字符 · it holds control characters")
    if len(value) > LONGEST_TEXT:
        raise ValueError(f"最多 {LONGEST_TEXT} 个字 · at most {LONGEST_TEXT} characters")
    return " ".join(value.split())


def identifier(cell: str) -> str:
    """A code or number kept as text: `3205820102048188.0` is the code, `3.20582E+15` has lost most of its digits."""
    value = unicodedata.normalize("NFKC", text(cell))
    if not _NUMBER.fullmatch(value) or not {".", "+"} & set(value):
        return value  # also 12E5, which may be a device's name: a spreadsheet writes 1.2E+06
    number = Decimal(value)
    if number != number.to_integral_value():
        return value
    mantissa = re.split("e", value, flags=re.IGNORECASE)[0]
    if len(re.sub(r"\D", "", mantissa).lstrip("0")) <= number.adjusted() and number:
        raise ValueError(
            "表格已丢失部分数字，请将该列设为文本后重新填写 · the spreadsheet has lost digits:"
            " format the column as text and fill it in again"
        )
    return f"{number:.0f}"


def device_id(cell: str) -> str:
    value = identifier(cell)
    if value and not DEVICE_ID.fullmatch(value):
        raise ValueError("1–64 个字母、数字、下划线或连字符 · 1 to 64 of A-Z a-z 0-9 _ -")
    return value


def codec(cell: str) -> str:
    """Whether there is a codec of that name is checked against the database."""
    value = text(cell).lower()
    if value and not _CODEC.fullmatch(value):
        raise ValueError("json、cbor 或映射名称 · json, cbor or the name of a mapping (`underfoot codec list`)")
    return value


def family(cell: str) -> str:
    value = unicodedata.normalize("NFKC", text(cell))
    if not value:
        return ""
    found = _FAMILIES.get(value.lower())
    if found is None:
        allowed = "、".join(f"{name} {declared.label}" for name, declared in FAMILIES.items())
        raise ValueError(f"应为下列之一 · one of: {allowed}")
    return found


def area_code(cell: str) -> str:
    value = identifier(cell)
    if not value:
        return ""
    if not re.fullmatch("[0-9]+", value) or len(value) not in LEVELS:
        raise ValueError(
            "2 位省、4 位市、6 位区县、9 位街道或 12 位社区代码 ·"
            " 2 digits (province), 4 (city), 6 (district), 9 (street) or 12 (community)"
        )
    if value[:2] not in PROVINCES:
        raise ValueError("前两位不是省级代码 · its first two digits are no province")
    return without_padding(value)


def area_name(cell: str) -> tuple[str, ...]:
    """`安阳市/龙安区` names the area and the one above it; from the area upwards."""
    names = [" ".join(part.split()) for part in re.split("[/／>]", text(cell))]
    if names == [""]:
        return ()
    if not all(names) or len(names) > len(LEVELS):
        raise ValueError("如 龙安区 或 安阳市/龙安区 · like 龙安区 or 安阳市/龙安区")
    return tuple(reversed(names))


def kind(cell: str) -> str:
    value = identifier(cell)
    if value in KIND_BY_NAME:
        return KIND_BY_NAME[value]
    if re.fullmatch("[0-9]{3}", value):
        return f"0{value}"  # 0103 was read as a number
    if value and not re.fullmatch("[0-9A-Za-z]{1,16}", value):
        raise ValueError("如 0103 或 雨水井盖 · a class code like 0103, or its name like 雨水井盖")
    return value


def coordinate(cell: str) -> float | None:
    value = unicodedata.normalize("NFKC", text(cell)).removesuffix("°")
    if not value:
        return None
    if not _NUMBER.fullmatch(value):
        raise ValueError("以度为单位的小数，如 114.352812 · degrees as a decimal, like 114.352812")
    return float(value)


def interval(cell: str) -> int | None:
    value = unicodedata.normalize("NFKC", text(cell)).lower()
    if not value:
        return None
    found = _INTERVAL.fullmatch(value)
    seconds = Decimal(found["number"]) * _SECONDS[found["unit"]] if found and found["unit"] in _SECONDS else Decimal(0)
    if not 1 <= seconds <= LONGEST_INTERVAL_S or seconds != seconds.to_integral_value():
        raise ValueError("1 秒到 366 天，如 900、15min、24小时 · 1 s to 366 days, like 900, 15min, 24h")
    return int(seconds)


def date(cell: str) -> dt.date | None:
    value = unicodedata.normalize("NFKC", text(cell))
    if not value:
        return None
    if found := _DATE.fullmatch(value) or _COMPACT_DATE.fullmatch(value):
        with suppress(ValueError):  # the 31st of June
            return dt.date(int(found[1]), int(found[2]), int(found[3]))
    raise ValueError("如 2024-06-30 · a date like 2024-06-30")


def object_state(cell: str) -> str:
    value = text(cell)
    if value and value not in OBJECT_STATES:
        raise ValueError(f"应为下列之一 · one of: {'、'.join(OBJECT_STATES)}")
    return value


def status(cell: str) -> str:
    return _one_of(_STATUSES, cell)


def place(cell: str) -> str:
    return _one_of(_PLACES, cell)


def network(cell: str) -> str:
    return _one_of(_NETWORKS, cell)


def tags(cell: str) -> tuple[str, ...]:
    """`学校门口、低洼`: words that rules may be about; each once, in order of their characters."""
    words = sorted({" ".join(word.split()) for word in re.split("[、;；]", text(cell))} - {""})
    if any(len(word) > LONGEST_TAG or "/" in word for word in words):
        raise ValueError(
            f"每个最多 {LONGEST_TAG} 个字，不含 /，以顿号或分号分隔 ·"
            f" at most {LONGEST_TAG} characters each, without /, separated by 、 or ;"
        )
    return tuple(words)


def pipe_id(cell: str) -> str:
    value = identifier(cell)
    if value and not _PIPE_ID.fullmatch(value):
        raise ValueError("1–64 个字母、数字、下划线、点或连字符 · 1 to 64 of A-Z a-z 0-9 _ . -")
    return value


def millimetres(cell: str) -> float | None:
    """A round pipe's inner diameter: 300, DN300, 300mm."""
    return _length(
        _BORE, cell, "毫米数，如 300 或 DN300；方涵填等效直径 · mm, like 300 or DN300; of a box, the equivalent"
    )


def metres(cell: str) -> float | None:
    return _length(_METRES, cell, "米数，如 36.5 · metres, like 36.5")


def plain_number(cell: str) -> float | None:
    return _length(_PLAIN, cell, "数字，如 0.013 · a number, like 0.013")


def _length(pattern: re.Pattern[str], cell: str, allowed: str) -> float | None:
    value = unicodedata.normalize("NFKC", text(cell))
    if not value:
        return None
    found = pattern.fullmatch(value)
    if found is None or not _NUMBER.fullmatch(found["number"]):
        raise ValueError(allowed)
    return float(found["number"])


def _one_of(choices: dict[str, str], cell: str) -> str:
    value = text(cell)
    if value and value not in choices:
        raise ValueError(f"应为下列之一 · one of: {'、'.join(choices)}")
    return choices.get(value, "")
