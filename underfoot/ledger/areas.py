"""Areas by their 行政区划 code: the levels, the way up the tree, and the names everybody knows.

Used by the ledger's import: an area comes into being with the first asset that stands in it.
"""

from __future__ import annotations

LEVELS: dict[int, str] = {2: "province", 4: "city", 6: "district", 9: "street", 12: "community"}

PROVINCES: dict[str, str] = {
    "11": "北京市",
    "12": "天津市",
    "13": "河北省",
    "14": "山西省",
    "15": "内蒙古自治区",
    "21": "辽宁省",
    "22": "吉林省",
    "23": "黑龙江省",
    "31": "上海市",
    "32": "江苏省",
    "33": "浙江省",
    "34": "安徽省",
    "35": "福建省",
    "36": "江西省",
    "37": "山东省",
    "41": "河南省",
    "42": "湖北省",
    "43": "湖南省",
    "44": "广东省",
    "45": "广西壮族自治区",
    "46": "海南省",
    "50": "重庆市",
    "51": "四川省",
    "52": "贵州省",
    "53": "云南省",
    "54": "西藏自治区",
    "61": "陕西省",
    "62": "甘肃省",
    "63": "青海省",
    "64": "宁夏回族自治区",
    "65": "新疆维吾尔自治区",
    "71": "台湾省",
    "81": "香港特别行政区",
    "82": "澳门特别行政区",
}


def without_padding(code: str) -> str:
    """`410502000000` is the district `410502` written in 12 digits, `410502003000` its street `410502003`.

    Six digits are left alone: `441900` is 东莞, a city without districts, and topics name it so.
    """
    while len(code) > 6 and code.endswith("000"):
        code = code[:-3]
    return code


def way_up(code: str) -> list[str]:
    """The area's code and those above it, from the area up to its province."""
    return [code[:length] for length in sorted(LEVELS, reverse=True) if length <= len(code)]
