"""How services word a refusal: codes, and families of messages in lower case.

Patterns are applied to a few thousand characters at most, in which spaces and hyphens are one space.
"""

from __future__ import annotations

import re

FILTERED = re.compile(
    r"content (?:filter|polic|management|moderation|safety|violat|block|restrict|exists? risk|risk)"
    r"|(?:data|content|input|output) inspection|moderation|guard ?rail|censor|responsible ai|jail ?break|block ?list"
    r"|\b(?:flagged|prohibited content|recitation|invalid prompt|high risk|new sensitive)\b"
    r"|safety (?:system|filter|check|reason|polic|violat|concern|rating|guideline|review|reject)"
    r"|(?:blocked|reasons?|due to|failed)\b.{0,20}\bsafety"
    r"|(?:sensitive|unsafe|inappropriate) (?:data|input|output)"
    r"|(?:inappropriate|harmful|offensive|unsafe|sensitive|illegal|prohibited|risky|objectionable|unethical)"
    r" (?:content|information|words?|text|topic|material)"
    r"|(?:content|input|prompt|text|message|output)\b.{0,60}"
    r"\b(?:sensitive|inappropriate|unsafe|harmful|prohibited|disallowed|not allowed by|was blocked|is blocked)\b"
    r"|(?:usage|acceptable use|use) (?:polic|guideline)|violat\w* .{0,40}(?:polic|guideline|terms)"
    r"|敏感|违规|违法|不安全|不当|不合规|审核|风控|内容安全|安全策略"
)
ABOUT_ACCOUNT = re.compile(
    r"\b(?:your account|this account|your organi[sz]ation|api key|ip address|your region|your country"
    r"|unsupported country|terminated|suspended|deactivated|billing)\b|账号|账户|封禁"
)
_WINDOW = r"(?:context|prompt|inputs?|messages?|conversation|sequence|history|payload|decoder|body|text|string)"
TOO_LONG = re.compile(
    r"context (?:length|size|window|limit)|contextlength|context overflow|maximum (?:context|prompt|input|sequence)"
    r"|max(?:imum)? (?:model|seq\w*|context|input|prompt) ?(?:len|length|size|tokens?)|model ?max ?prompt|n ?ctx\b"
    r"|tokens? limit (?:reached|exceeded)|model token limit|string above max length"
    r"|request (?:is |body |entity |payload |size )?(?:too (?:large|long)|exceeds)|requested tokens?\b.{0,40}exceed"
    rf"|\b{_WINDOW}\b.{{0,80}}(?:too (?:long|large|big|many)|longer than|exceed|over the limit|must have less than)"
    rf"|(?:exceed\w*|longer than|larger than|above|reduce|shorten)\b.{{0,60}}\b"
    rf"(?:{_WINDOW} (?:length|size|limit|window)|length of the {_WINDOW}|(?:number of|input|prompt|max\w*) tokens)"
    r"|tokens?\b.{0,60}\bexceed"
    r"|range of input length|too many (?:input |prompt )?tokens|inputs?`? tokens? .{0,40}must be"
    r"|超长|过长|超(?:过|出).{0,20}(?:长度|上下文|限制|token)|(?:长度|上下文).{0,20}超"
)
CERTAINLY_TOO_LONG = re.compile(
    r"context (?:length|size|window)|contextlength|exceed context|prompt (?:is )?too long"
    r"|maximum (?:context|input|prompt)|request (?:is )?too large for"
)
"""What is believed of statuses that say something else: 500, and 429 for a request that no waiting makes smaller."""
UNPAID = re.compile(
    r"insufficient ?(?:quota|balance|credit|fund|account)|arrear|credit balance|out of credits|payment required"
    r"|exceeded current quota error|billing (?:hard limit|not active|disabled)|purchase (?:more )?credits"
    r"|余额不足|欠费|充值"
)
UNKNOWN_MODEL = re.compile(
    r"model not found|invalid model|unknown model|no such model|model ?name ?(?:invalid|error)|模型不存在"
    r"|model .{0,100}(?:does not exist|not exist|is not found|not found)"
)
KEY = re.compile(
    r"(?:invalid|incorrect|wrong|missing|no|expired) (?:api|access|auth\w*) ?(?:key|token)|invalid authentication"
)
UNPAID_CODES = frozenset({"1113", "insufficientquota"})
FILTER_CODES = frozenset({"1301", "1026", "1027", "10013", "10014", "336104", "safety", "blocked", "sensitive"})
"""Bare codes by which services refuse a text: Zhipu, MiniMax, iFlytek and Baidu have numbers."""
VAGUE_CODES = frozenset(
    {"invalid_request_error", "invalid_request", "bad_request", "badrequesterror", "error", "api_error", "server_error"}
)
"""Codes that say nothing, and whose words must not be read as part of the message."""
FORM_FIELDS = frozenset(
    {"temperature", "seed", "random_seed", "response_format", "max_tokens", "max_completion_tokens", "enable_thinking"}
)
PARAMETER_OF = {
    "json_schema": "response_format",
    "json_object": "response_format",
    "structured_outputs": "response_format",
    "guided_json": "response_format",
    "max_new_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
}
PARAMETER_PHRASES = (
    (re.compile(r"json (?:schema|mode|object)|structured outputs?|invalid schema|response format"), "response_format"),
)
_CODE_WORDS = """
access account ai api argument arrearage auth authentication authorization bad balance billing body budget code
completion conflict content context credit credits data denied does entity error exceed exceeded exist exists
expired failed field filter forbidden format found hard http id ids in input inspection insufficient internal
invalid is json key large length limit limited long malformed max maximum message messages method missing model
moderation no not of on openai output overloaded parameter parameters params payload payment permission plan
policy privilege prompt quota range rate reached reject rejected request requests required resource response
responsible safety schema server service size status string system timeout token tokens too type unauthorized
unavailable unknown unprocessable unrecognized unsupported url usage user validation value violation wrong
"""
CODE_WORDS = frozenset(_CODE_WORDS.split())
"""Words that codes are made of."""
