"""Kinds of asset: the class codes (大类 + 小类) of GB/T 30428.2-2013 with the names they are known by.

Only for reading a ledger that writes the name instead of the code, and for naming an asset whose ledger does not. A
city's own classes are as good: any 4 digits are accepted.
"""

from __future__ import annotations

KINDS: dict[str, str] = {
    "0101": "上水井盖",
    "0102": "污水井盖",
    "0103": "雨水井盖",
    "0104": "雨水箅子",
    "0105": "电力井盖",
    "0106": "路灯井盖",
    "0107": "通讯井盖",
    "0108": "电视井盖",
    "0109": "网络井盖",
    "0110": "热力井盖",
    "0111": "燃气井盖",
    "0112": "公安井盖",
    "0114": "无主井盖",
    "0116": "电力设施",
    "0117": "立杆",
    "0118": "路灯",
    "0119": "地灯",
    "0120": "景观灯",
    "0127": "中水井盖",
    "0129": "输油(气)井盖",
    "0130": "特殊井盖",
    "2102": "路灯变压器",
    "2104": "路灯配电箱",
    "2115": "泵站",
}
KIND_BY_NAME: dict[str, str] = {name: code for code, name in KINDS.items()}
