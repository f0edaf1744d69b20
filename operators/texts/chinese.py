"""Traditional characters as the simplified ones that this package's Chinese patterns are written in.

Knows the characters of those patterns alone; it is no conversion of texts.
"""

from __future__ import annotations

_TRADITIONAL = (
    "無對請問題幫這個沒辦為將與規範違則話換談論說寫優選擇數據團隊處組種過後潤飾內並給滿協當應該類關務圍愛創編譯釋議評讓"
    "實難從單繼續執權點別參結語會動產決總樣資訊篩淨標環開階輪進銷構據傾確檢測訓練買賣讀聽錯緊張僅於網頁隱藏許絕認據屬誤"
    "級體終補縮減簡潔順暢復覆閱無歉憾"
)
_SIMPLIFIED = (
    "无对请问题帮这个没办为将与规范违则话换谈论说写优选择数据团队处组种过后润饰内并给满协当应该类关务围爱创编译释议评让"
    "实难从单继续执权点别参结语会动产决总样资讯筛净标环开阶轮进销构据倾确检测训练买卖读听错紧张仅于网页隐藏许绝认据属误"
    "级体终补缩减简洁顺畅复复阅无歉憾"
)
_MAP = dict(zip(map(ord, _TRADITIONAL), _SIMPLIFIED, strict=True))


def simplified(text: str) -> str:
    """The text with traditional characters that are known here as simplified ones; of the same length."""
    return text if text.isascii() else text.translate(_MAP)
