# ruff: noqa: E501 - one pattern a line
"""Recognises a reply that declines, in English and Chinese, by its first sentences.

Judges by surface. Quoted speech does not count, since a story may refuse. A sentence of one's own inability counts
where it speaks of what was asked ("I can't do that"), and not where it speaks of the world ("I can't stand the cold").
"""

from __future__ import annotations

import re

from operators.texts.chinese import simplified

SPAN = 320
"""Characters of a reply that are looked at: who refuses does it at once."""
_SHORT = 400
"""A reply of at most so many characters may be a refusal as a whole; in a longer one only clear signs count."""

_QUOTED = re.compile(
    "\"[^\"\n]{0,300}\"|“[^”\n]{0,300}”|「[^」\n]{0,300}」|『[^』\n]{0,300}』|(?<!\\w)'[^'\n]{2,300}'(?!\\w)"
)

_NOT = (
    r"(?:can[’']?t|can ?not|couldn[’']?t|could not|won[’']?t|will not|shouldn[’']?t|should not|must not|may not|wouldn[’']?t|"
    r"am (?:currently )?(?:unable|not (?:able|allowed|permitted|authori[sz]ed|willing|going|equipped|designed|programmed|"
    r"trained|supposed|in a position|at liberty))|[’']m (?:currently )?(?:unable|not (?:able|allowed|permitted|authori[sz]ed|"
    r"willing|going|equipped|designed|programmed|trained|supposed|in a position|at liberty))|"
    r"(?:do not|don[’']?t) have the (?:ability|capability|capacity|means|permission|authority)|"
    r"(?:must|have to|need to|will have to|would have to|am going to have to|[’']ll have to|[’']d have to)(?: respectfully| politely)? "
    r"(?:decline|refuse)|(?:respectfully |politely )?(?:decline|refuse)|(?:would|[’']d) (?:rather|prefer) not|"
    r"(?:would |[’']d )?prefer(?:red)? not|choose not|(?:won[’']t|will not|wouldn[’']t) be able|(?:have been|was|am|[’']ve been) (?:instructed|told|trained|programmed|designed|asked) not|do not wish|don[’']?t wish|don[’']?t want)"
)
_ADVERB = r"(?:\s(?:actually|really|directly|simply|just|currently|ethically|legally|in good conscience|possibly|ever|also|even|personally|help but))?"
_ME = r"(?:i|we|this assistant|this model)"
_ASKED = (
    r"(?:(?:your|this|that|the|such|any|these|those)(?: (?:kind|kinds|type|types|sort) of)?(?: \w+){0,2}? ?"
    r"(?:requests?|questions?|prompts?|tasks?|quer(?:y|ies)|instructions?|topics?|subjects?|matters?|contents?|"
    r"informations?|inquir(?:y|ies)|activit(?:y|ies)|things?|advice|demands?|conversations?|discussions?|chats?|debates?|line of \w+|problems?|material|texts?|answers?|rewrit\w+|pairs?)"
    r"|that|this|it|so|these|those|such a thing|anything like that)"
)
_TASK_VERB = (
    r"(?:help(?! (?:but|it\b|\w+ing\b|myself|himself|themselves))|assist|comply|cooperate|oblige|fulfil+|engage in|participate in|"
    r"partake in|take part in|accommodate|facilitate|condone|(?:be of (?:help|assistance|service))|carry out|go along with|"
    r"provide|generate|fabricate|rewrite|rephrase|paraphrase|rework|respond to|reply to|"
    r"give (?:you )?(?:advice|(?:any |an? |specific |such )?(?:answers?|information|instructions|details|medical|legal|financial|opinions?))|"
    r"offer (?:you )?(?:any |an? )?(?:advice|medical|legal|financial|assistance|help|opinions?|guidance|information)|"
    r"share (?:that|this|such|any) (?:kind of |type of )?(?:information|content|material|details)|"
    r"answer (?:(?:that|this|your|the|such|any|medical|legal|these|those)\b)|"
    r"(?:create|produce|write|compose|draft|make) (?:(?:a|an|any|such|that|this|the|fake|harmful|explicit|hateful|sexual|\w+ful) )"
    r"(?:\w+ ){0,4}?(?:content|stor(?:y|ies)|jokes?|essays?|articles?|posts?|malware|virus|emails?|answers?|questions?|texts?|instructions?|requests?)|"
    r"discuss (?:(?:that|this|such|the|these|those|politic\w+|religio\w+|sensitive|illegal|any)\b)|"
    r"talk about (?:(?:that|this|such|these|those)\b)|speculate|complete (?:your|this|that|the) (?:request|task|prompt|question)|"
    r"process (?:your|this|that|the) (?:request|task|prompt|question|text|content))"
)
_WEAK_VERB = (
    r"(?:do|answer|complete|continue(?: with)?|proceed(?: with)?|support|endorse|promote|encourage|recommend|suggest|advise(?: on)?|"
    r"discuss|describe|explain|share|say|tell you|give you|disclose|reveal|address|handle|process|perform|execute|accept|honou?r|follow|"
    r"satisfy|translate|summari[sz]e|edit|improve|modify|change|revise|write|create|produce|make|offer|respond|reply|comment(?: on)?|"
    r"speak (?:on|to|about)|talk about|go into|get into|work (?:on|with)|deal with|touch|consider|entertain|take on|output|return)"
)
_END = r"\s*(?:[.!?;:—]|,? (?:but|because|since|as|for|right now|at this time|sorry|even|due|under)\b|,|\Z)"
_START = (
    r"(?:\A|[.!?;:…]\W{0,4}|\n\W{0,8}|, (?:so|but|and|therefore|however,?|thus) |(?:\A|[.!?;:]\s|\n)[^.!?\n]{0,90}?,\s|\b(?:but|so|therefore|however,?|"
    r"afraid|unfortunately,?|regrettably,?|sorry,?|apologi[sz]e,?|apologies,?|regret,?|that|no,)\s)"
)

_CLEAR = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:{_START}){_ME}(?:\s|(?=[’'])){_NOT}{_ADVERB}(?:\s(?:to|with))?\s{_TASK_VERB}",
        r"(?:\A|\n|[.!?]\s)\W{0,4}(?:sorry,? (?:but )?)?(?:can[’']?t|cannot|unable to|not able to|won[’']t|refus(?:e|ing) to|declin(?:e|ing) to)"
        r"\s(?:help|assist|comply|fulfil+|answer (?:this|that|your)|process (?:this|that|your)|provide (?:this|that|such)|rewrite|do that|do this)\b",
        r"\b(?:i(?:[’']m| am) (?:so |very |truly |really |terribly |deeply )?sorry|i apologi[sz]e|(?:my )?(?:sincere )?apologies|\A\W*sorry)"
        r"[^.!?\n]{0,60}?\b(?:but|,|—|-|as|because|that)\s?(?:i|we)(?:[’']m| am|[’']re| are)?\s(?:just |only )?(?:can[’']?t|can ?not|unable|not able|won[’']t|will not|not (?:allowed|permitted|comfortable|designed|programmed|going))"
        r"(?: to)? (?:help|assist|comply|provide|answer|rewrite|fulfil+|generate|create|write|complete|respond|engage|discuss|fabricate|do (?:that|this|so)|continue|share|support|give|offer|process|fulfil)",
        r"\bas an? (?:large |responsible |helpful |harmless |ethical )*(?:ai\b|artificial intelligence|(?:ai )?language model|(?:virtual |digital |ai )assistant|chatbot|ai model)[^.!?\n]{0,20}?,? ?i\b",
        r"\bas an? (?:large )?(?:ai |artificial intelligence )?(?:language model|ai assistant|chatbot)\b",
        r"\bi(?:[’']m| am) (?:just |only |merely |simply )?an? (?:large )?(?:ai\b|artificial intelligence|language model|text[- ]based|virtual assistant|chatbot|computer program|machine learning)",
        r"\b(?:your|this|that|the) (?:\w+ )?(?:request|question|prompt|query|content|topic|message|instruction|text|input)s?\s(?:\w+ly )?(?:(?:appears|seems) to )?"
        r"(?:violates?|breach(?:es)?|contravenes?|goes against|conflicts? with|is (?:against|inappropriate|harmful|unethical|not (?:appropriate|allowed|permitted|something i)|"
        r"outside (?:of )?(?:my|the scope)|beyond (?:my|the scope))|falls outside|cannot be (?:fulfilled|answered by me|processed|completed)|"
        r"(?:has been|was|is being|is) (?:denied|declined|rejected|blocked|refused)|involves (?:illegal|harmful|unethical))\b",
        r"\b(?:against|violat(?:es?|ing)|with|under|per|due to|because of|by|outside|within|breach(?:es)? of) my (?:\w+ )?(?:guidelines?|polic(?:y|ies)|programming|principles|ethics|ethical|safety|rules|training|content)\b",
        r"\bmy (?:\w+ )?(?:guidelines|polic(?:y|ies)|programming|instructions|training|rules|safety \w+|principles)(?: \w+)? (?:do(?:es)? not|don[’']?t|doesn[’']?t|prevents?|prohibits?|forbids?|restricts?)",
        r"\b(?:violates?|against) (?:openai|anthropic|google|the|our|community|content|usage)(?:[’']s)? (?:content |usage |use[- ]case )(?:polic(?:y|ies)|guidelines)",
        r"\b(?:that|this|it)(?:[’']s| is) (?:not |n[o’']t )(?:something|a (?:topic|subject|request|question|task)) (?:that )?(?:i|we)(?:[’']m| am| can| could| will| want| feel|[’']ll)",
        r"\b(?:isn[’']t|is not|wouldn[’']t be|would not be|not) (?:appropriate|possible|ethical|right|acceptable|responsible|safe|within my \w+) for me to\b",
        r"\b(?:inappropriate|unethical|irresponsible|impossible|wrong|improper) for me to (?:\w+ly )?(?:provide|answer|give|help|assist|write|share|offer|discuss|comment|generate|create|rewrite|respond)",
        r"\bi(?:[’']m| am) not comfortable (?:with (?:this|that|your|providing|answering|discussing|\w+ing)|providing|answering|discussing|helping|writing|creating|generating|sharing|rewriting|doing|responding|engaging|continuing)",
        r"\bi (?:don[’']?t|do not) feel comfortable (?:with (?:this|that|your)|\w+ing)",
        r"\b(?:isn[’']t|is not) something i (?:can|could|will|am able)",
        r"\bcannot in good conscience\b|\bi (?:do not|don[’']t) (?:provide|offer|give|generate|engage in|assist with|support|have personal (?:opinions|experiences|feelings|beliefs))\b",
        r"\bi (?:don[’']?t|do not) have (?:enough|sufficient) (?:information|context|details|data) to (?:answer|help|respond|provide|rewrite|complete)",
        r"\b(?:let[’']?s|let us|could we|can we) (?:talk about|discuss|change|switch to|move on to|focus on) (?:something else|the (?:subject|topic)|another (?:topic|subject)|a different (?:topic|subject))",
        r"\b(?:please|could you|can you)(?: please)? (?:provide|give|share|send|paste)(?: me)?(?: with)? (?:the|a|an|your|more|some) (?:question|answer|text|pair|content|original|input|context|passage)\b",
        r"\A\W*(?:request (?:denied|declined|refused|rejected)|access denied|no comment|content (?:blocked|filtered|removed|not available)|\[?(?:refused|redacted|removed|content removed)\]?)\W*\Z",
        r"\b(?:i[’']?ll|i will|i[’']?m going to|i am going to) (?:have to |need to |must )?(?:pass on|decline|refuse|sit this one out)",
        r"\A\W*(?:no,? )?i (?:must|shall|will|need to|have to)(?: respectfully| politely)? (?:decline|refuse)\b|\bi must (?:decline|refuse)\b|\bhave to (?:decline|refuse) (?:this|your|that|to (?:answer|help|provide|write))",
        r"\bi apologi[sz]e,? but (?:i|as)\b",
    )
)
_BRIEF = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:{_START}){_ME}(?:\s|(?=[’'])){_NOT}{_ADVERB}(?:\s(?:to|with))?\s{_WEAK_VERB}\s(?:on |with |about |to )?{_ASKED}{_END}",
        rf"(?:{_START}){_ME}(?:\s|(?=[’'])){_NOT}(?: to)?(?: (?:help|answer|say|respond|reply|comment|continue|do so|discuss it))?{_END}",
        rf"(?:{_START}){_ME}(?:\s|(?=[’'])){_NOT}{_ADVERB}\s(?:with )?{_ASKED}{_END}",
        r"\A\W*(?:(?:i[’']m |i am )?(?:so |very )?sorry|unfortunately|regrettably|apologies|no)\W{1,4}(?:but )?(?:that(?:[’']s| is)|this is|it(?:[’']s| is)) (?:not (?:possible|something|allowed|permitted)|beyond|outside|against)",
        r"\A\W*(?:sorry|apologies|i[’']m sorry|i am sorry|my apologies)\W{1,4}(?:but )?(?:no|not this one|not possible|that is not possible|nothing i can do)?\W*\Z",
        r"\A\W*(?:no can do|not (?:allowed|permitted|possible)|i have no (?:answer|comment)|n/?a)\W*\Z",
        r"\b(?:can(?:[’']?t| ?not)|unable to|won[’']t|not able to) (?:help|assist) (?:you )?(?:with|on|in)\b",
        r"\b(?:consult|seek|contact|speak (?:to|with)|ask) (?:a|an|your) [^.!?\n]{1,40} instead\b",
    )
)

_NOT_ZH = r"(?:无法|不能|不便|不可以|不会|不方便|没有办法|没办法|没法|不予|不宜|难以|恕难|拒绝|不应该?|不愿意?|不想|不支持|未能|(?:选择|决定|只好|只能)不|不被允许|不具备|没有能力|没有权限|无权|(?:选择|决定|只好|只能)不)"
_VERB_ZH = (
    r"(?:提供|回答|回复|答复|解答|作答|协助|帮助|帮|完成|改写|生成|处理|满足|这样做|这么做|那样做|做(?:这|那)|执行|给出|给(?:您|你)|为(?:您|你)|对此|"
    r"讨论|谈论|评论|透露|参与|支持|继续|配合|答应|从命|接受(?:这|该|此|您|你)|撰写|创作|编写|写(?:这|此|出|作)|翻译(?:这|该|此)|发表|告诉(?:您|你)|"
    r"分享(?:这|此|该|相关)|遵从|照做|就(?:此|这|该)|回应|响应|理解(?:您|你)的|涉及(?:此|这|该)|润色|优化这|修改这)"
)
_ZH = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:抱歉|对不起|不好意思|遗憾|sorry|见谅|请谅解|请原谅)[^。！？\n]{{0,6}}[，,。！!：:\s]*[^。！？\n]{{0,14}}?(?:我|本(?:助手|模型|人)|这边|咱|恕|(?:这|该|此|您的|你的)[^。！？\n，,]{{0,8}}(?:请求|问题|内容|话题|要求|任务)|作为)[^。！？\n]{{0,16}}?(?:{_NOT_ZH}[^。！？\n]{{0,6}}?{_VERB_ZH}|帮不[上了到]|做不[到了]|办不到|答不[上了出]|爱莫能助|无能为力|超出|违反|不合适|不符合|不恰当|不妥)",
        rf"(?:抱歉|对不起|不好意思|很遗憾|sorry)[，,。！!\s]*(?:但是?|这次|暂时|目前|恕)?[，,]?(?:{_NOT_ZH}(?:{_VERB_ZH}|[。！!]|\Z)|帮不[上了到]|做不到|办不到|爱莫能助|无能为力|无可奉告)",
        rf"(?:\A|[。！？!?\n，,；;]\s*)(?:但|但是|不过|因此|所以|可惜|恕)?\s*(?:我|本助手|本模型|本人)(?:们)?(?:目前|暂时|现在|真的|恐怕|确实|实在|只能说|必须|也|还是|这边)?{_NOT_ZH}(?:为(?:您|你)|给(?:您|你)|对此|直接|就此|再|继续|去|向(?:您|你)|帮(?:您|你))?(?:提供|回答|回复|答复|解答|协助|完成(?:这|该|此|您|你)|改写|生成|处理(?:这|该|此|您|你)|满足|这样做|这么做|做(?:这|那)(?:件|个|种|样)|执行(?:这|该|此|您|你)|讨论(?:这|该|此|相关)|谈论(?:这|该|此)|评论(?:这|该|此)|参与(?:这|该|此)|配合|遵从|照做|接受(?:这|该|此|您|你)的?(?:个)?(?:请求|要求)|撰写|创作(?:这|该|此|相关|含)|编写(?:这|该|此)|回应|发表(?:看法|意见|评论|观点))",
        r"作为(?:一个|一名|一款|一位)?(?:大型|负责任的?)?(?:人工智能|ai\b|ai|智能|大?语言模型|大模型|虚拟助手|聊天机器人)",
        r"我(?:只是|仅仅是|是)(?:一个|一款|一名)?(?:由[^。，]{1,12}(?:开发|训练)的)?(?:大型)?(?:人工智能|ai|智能助手|大?语言模型|虚拟助手|聊天机器人|程序)",
        r"(?:这个|该|此|您的|你的|这类|此类|这种|这|上述)(?:请求|问题|内容|话题|要求|提问|任务|指令)[^。！？\n]{0,8}(?:违反|违背|不符合|涉及违法|涉及敏感|超出|不在|属于敏感|不恰当|不合适|无法(?:回答|处理|满足|提供|完成)|不能(?:回答|处理|满足|提供))",
        r"(?:违反|违背|不符合|有悖)(?:了)?(?:我的|我们的|本平台的?|平台的?|内容|使用|社区|相关|安全)(?:\w{0,6})?(?:准则|政策|规定|原则|规范|指南|策略)",
        r"(?:超出|不在)(?:了)?(?:我|本助手|本模型)的?(?:能力|服务|知识|职责|权限|回答)?(?:的)?范围",
        r"(?:恕我|恕)(?:直言，)?(?:难以|不能|无法|难)(?:从命|奉告|回答|提供|协助|照办)|无可奉告|恕难从命|爱莫能助",
        r"(?:换|聊|谈)(?:个|一个|点)?(?:别的|其他|另一个)?(?:话题|问题|内容)(?:吧|聊)|我们(?:聊|谈)点?别的",
        r"\A\W*(?:这个|这|此事|这件事|该问题|这个问题|这种事|这一点)?(?:我|本助手)?(?:真的|实在|恐怕|也)?(?:帮不[上了到](?:您|你)?(?:忙|的忙)?|做不到|办不到|无能为力|答不上来|回答不了|不能说|不方便透露|不便透露|不予回答|拒绝回答|不能这(?:样|么)做|不会这(?:样|么)做|无法做到)[^。！？\n]{0,6}(?:[。！!？]|\Z)",
        r"(?:我|本助手|本模型)(?:必须|只能|不得不|需要|会|要|选择)?拒绝(?:回答|提供|您|你|这|该|此|协助|执行|参与|[。！!，,]|\Z)",
        r"(?:请|麻烦)(?:您|你)?(?:提供|给出|补充|发送)(?:一下)?(?:您|你)?(?:需要|想要|要)?(?:改写|完整|具体|更多|原始|优化|回答)的?(?:的)?(?:问题|答案|文本|内容|信息|上下文|问答)",
        r"我没有(?:个人)?(?:的)?(?:观点|情感|意识|权限(?:回答|提供)|能力(?:回答|提供|完成))|我不具备[^。！？\n]{0,10}(?:能力|资格|权限)",
        r"(?:不|没)(?:适合|宜|便|合适)(?:由我|让我)|由于(?:安全|政策|合规|伦理)[^。！？\n]{0,12}(?:无法|不能|不便)",
        r"(?:抱歉|对不起)[，,。！!\s]*(?:不行|不可以|我不能|我不会|我做不到|我不想|这不行|没办法|我无法)[^。！？\n]{0,4}(?:[。！!]|\Z)",
        r"\A\W*(?:抱歉|对不起|不好意思|很抱歉|非常抱歉)\W*\Z|\A\W*我(?:不能|无法|不会|不可以|不愿意?)(?:说|答|做|帮)?\W*\Z",
    )
)


def refuses(text: str, *, original: str = "", is_question: bool = False) -> bool:
    """Whether a reply declines where the text that it replaces does not; a question may tell of someone's inability."""
    said, before = _shown(text), _shown(original)
    patterns = (*_CLEAR, *_ZH) if len(text) > _SHORT or is_question else (*_CLEAR, *_ZH, *_BRIEF)
    found = [pattern for pattern in patterns if pattern.search(said)]
    if not found or any(pattern.search(before) for pattern in found):
        return False
    return not (is_question and _asks_of_someone(text))


def _asks_of_someone(text: str) -> bool:
    """A question that goes on after "I can't generate the report" asks for help, unless it offers some."""
    return text.rstrip().endswith(("?", "？")) and not re.search(
        r"\b(?:help|assist) you\b|something else|sorry|apologi|抱歉|对不起|帮(?:您|你)", text, re.IGNORECASE
    )


def _shown(text: str) -> str:
    return _QUOTED.sub('""', simplified(text[:SPAN]))
