# ruff: noqa: E501 - one pattern a line
"""Tells that a reply is in another language than its row: by script, and by the little words of common languages.

Light, so that it speaks up only where it is sure: code, formulas, names and short texts have no language here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from operators.texts.text import split_units

MAX_LOOKED_AT = 6_000
"""Characters of a text that are looked at."""
_MIN_LETTERS = 12
_MIN_WORDS = 6
_MIN_HITS = 3
_LONG = 8
"""Words from which on a text without a single little word of a language is not in it."""

_SCRIPTS: Mapping[str, re.Pattern[str]] = {
    "latin": re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff]"),
    "han": re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"),
    "kana": re.compile("[\u3041-\u30fa]"),
    "hangul": re.compile("[\u1100-\u11ff\uac00-\ud7af]"),
    "cyrillic": re.compile("[\u0400-\u04ff]"),
    "greek": re.compile("[\u0386-\u03ce]"),
    "arabic": re.compile("[\u0620-\u06d3\u0750-\u077f]"),
    "hebrew": re.compile("[\u05d0-\u05ea]"),
    "devanagari": re.compile("[\u0900-\u097f]"),
    "bengali": re.compile("[\u0980-\u09ff]"),
    "gurmukhi": re.compile("[\u0a00-\u0a7f]"),
    "gujarati": re.compile("[\u0a80-\u0aff]"),
    "odia": re.compile("[\u0b00-\u0b7f]"),
    "tamil": re.compile("[\u0b80-\u0bff]"),
    "telugu": re.compile("[\u0c00-\u0c7f]"),
    "kannada": re.compile("[\u0c80-\u0cff]"),
    "malayalam": re.compile("[\u0d00-\u0d7f]"),
    "sinhala": re.compile("[\u0d80-\u0dff]"),
    "thai": re.compile("[\u0e01-\u0e4e]"),
    "lao": re.compile("[\u0e80-\u0eff]"),
    "tibetan": re.compile("[\u0f00-\u0fff]"),
    "burmese": re.compile("[\u1000-\u109f]"),
    "georgian": re.compile("[\u10a0-\u10ff]"),
    "armenian": re.compile("[\u0531-\u0587]"),
    "ethiopic": re.compile("[\u1200-\u139f]"),
    "khmer": re.compile("[\u1780-\u17ff]"),
    "mongolian": re.compile("[\u1800-\u18af]"),
}
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]{1,200}`|https?://\S{1,400}|\$[^$\n]{1,400}\$|<[^<>\n]{1,200}>", re.DOTALL)
_CODE_SIGNS = re.compile(r"[{}\[\]()=<>;_\\|$#*/+^]")
_MAX_CODE_SIGNS = 0.04

_LITTLE_WORDS: Mapping[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": "a the and is are was were of to in that it for with you this not have has be by from they which their will can "
        "or an at as but if your there when what how who why where does do did so its these would should also than more about into i my he she we",
        "de": "der die das und ist nicht ein eine einen einem einer mit von zu für auf sich den dem des sie ich wir es auch "
        "werden wird sind als aber oder wenn kann durch nach bei wie aus um im am zum zur man über noch nur dass hat haben",
        "fr": "le la les des est et un une du dans que qui pour pas sur avec plus par il elle vous nous je ce cette sont au aux "
        "ne se leur être ou mais comme à votre ont fait peut ses son sa très aussi où c d l s",
        "es": "el la los las de que y es en un una por con para no se su lo del al como más pero sus son está este esta o "
        "también puede hay ser muy cuando entre sin sobre tiene todo usted desde",
        "pt": "o a os as de que e é em um uma por com para não se seu sua do da dos das no na nos ao como mais mas são está "
        "este esta ou também pode ser muito quando entre sem sobre tem você foi pelo pela",
        "it": "il lo la i gli le di che e è in un una per con non si del della dei delle al alla come più ma sono questo "
        "questa o anche può essere molto quando tra senza su ha nel nella suo dal dalla poi e a da fino ogni gli tutto dopo prima",
        "nl": "de het een en is niet van in op te dat die voor met zijn aan er als ook maar om bij uit door naar kan worden "
        "wordt hebben heeft of deze dit je wij zij nog wel over moet u ik",
        "pl": "i w nie na to jest się z do że o jak ale po co za od przez przy dla oraz są być może jego ich który która jest "
        "tego tym lub czy tylko już bardzo od do a pod jako nie kiedy jeśli możesz swój",
        "tr": "ve bir bu için ile da de çok daha olarak olan gibi ne var değil ama veya kadar sonra en her ya ise olduğu",
        "sv": "och att det är en som på för med den inte av till ett har de om var kan från eller men vi du jag ska också när "
        "så hur sig vid efter",
        "vi": "là và của có không cho được trong một các với này những để người khi đã từ về bạn như nên hoặc cũng",
        "id": "yang dan di untuk dengan ini dari pada tidak adalah itu dalam akan atau juga ke oleh dapat karena lebih bisa "
        "anda saya ada sebagai",
    }.items()
}
_OF_ONE = {
    language: words - frozenset().union(*(other for name, other in _LITTLE_WORDS.items() if name != language))
    for language, words in _LITTLE_WORDS.items()
}
"""Those that only one of the languages has."""
_TRANSLATION = re.compile(
    r"\btranslat\w*|\btradu\w+|\bübersetz\w*|\bvertal\w+|\b(?:in|into|to|from|of|the|how do you say|speak|learn\w*|write) "
    r"(?:english|french|spanish|german|italian|portuguese|dutch|chinese|mandarin|cantonese|japanese|korean|russian|arabic|"
    r"hindi|latin|greek|turkish|polish|swedish|vietnamese|thai|hebrew|indonesian|persian|ukrainian|another language)\b|"
    r"\b(?:english|french|spanish|german|italian|portuguese|dutch|chinese|japanese|korean|russian|arabic|hindi|latin) "
    r"(?:word|phrase|sentence|version|equivalent|name|term|expression|translation|for|poem|text|language)s?\b|\bbilingual\b|"
    r"翻译|翻譯|译成|譯成|英文|英语|英語|中文|汉语|法语|法文|德语|德文|日语|日文|韩语|韩文|俄语|西班牙语|拉丁语|意大利语|外语|双语|单词|词汇|英译|汉译|"
    r"翻訳|英語で|번역",
    re.IGNORECASE,
)


def is_other_language(reply: str, *, like: str, asked: str = "") -> bool:
    """Whether a reply is surely in another language than `like`; never where `asked` asks for a translation."""
    reply, like = _prose(reply), _prose(like)
    if _TRANSLATION.search(asked[:MAX_LOOKED_AT]):
        return False
    theirs, ours = _main_script(reply, least=_MIN_LETTERS), _main_script(like, least=_MIN_LETTERS // 2)
    if theirs is None or ours is None:
        return False
    if theirs != ours:
        return _share(like, theirs) < 0.1 and (theirs != "latin" or _is_latin_prose(reply))
    return theirs == "latin" and _is_other_latin(reply, like)


def _prose(text: str) -> str:
    return _CODE.sub(" ", text[:MAX_LOOKED_AT])


def _main_script(text: str, *, least: int) -> str | None:
    """The script that most letters are of, None where there is no clear one; Chinese beside kana is Japanese."""
    counts = Counter({name: len(pattern.findall(text)) for name, pattern in _SCRIPTS.items()})
    if counts["kana"] * 8 >= counts["han"] and counts["kana"] > 2:
        counts["kana"] += counts.pop("han", 0)
    total, (name, most) = counts.total(), counts.most_common(1)[0]
    few = least if name in ("latin", "cyrillic", "greek") else least // 3
    return name if total >= few and most >= 0.6 * total else None


def _share(text: str, script: str) -> float:
    counts = {name: len(pattern.findall(text)) for name, pattern in _SCRIPTS.items()}
    return counts[script] / max(1, sum(counts.values()))


def _is_latin_prose(text: str) -> bool:
    """Whether Latin letters make sentences rather than code, formulas or a list of names."""
    words = [word for word in split_units(text) if word.isalpha()]
    signs = len(_CODE_SIGNS.findall(text)) / max(1, len(text))
    little = sum(word in known for word in words for known in _LITTLE_WORDS.values())
    small = sum(word.islower() for word in re.findall(r"[^\W\d_]+", text)) / max(1, len(words))
    return len(words) >= _MIN_WORDS and signs < _MAX_CODE_SIGNS and (little >= 2 or small >= 0.7)


def _is_other_latin(reply: str, like: str) -> bool:
    """Whether the little words of one language rule the reply, and those of another the row."""
    theirs, ours = _little_words(reply, _LITTLE_WORDS), _little_words(like, _OF_ONE)
    expected = _ruling(ours, least=1)
    strange = expected is not None and _little_words(reply, _OF_ONE)[expected] == 0 and len(split_units(reply)) >= _LONG
    found = _ruling(theirs, least=_MIN_HITS - 1 if strange else _MIN_HITS)
    if found is None or expected is None or found == expected:
        return False
    return (strange or theirs[expected] * 3 <= theirs[found]) and ours[found] * 2 <= ours[expected]


def _little_words(text: str, known: Mapping[str, frozenset[str]]) -> Counter[str]:
    """By language, how many distinct little words of it a text has."""
    words = set(split_units(text))
    return Counter({language: len(words & little) for language, little in known.items()})


def _ruling(hits: Counter[str], *, least: int) -> str | None:
    (first, most), (_, next_most) = hits.most_common(2)
    return first if most >= least and most > next_most * 1.3 else None
