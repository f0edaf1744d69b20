"""Which HTML elements there are, and what each means to the layout and to the question whether a text is a page.

`COMMON` elements are what scraped prose is made of. The others are as likely a placeholder, a tag of a prompt or of a
tool call (`<summary>`, `<output>`, `<video>`), so that a tag of theirs says little by itself.
"""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


COMMON_BLOCKS = _names("p div h1 h2 h3 h4 h5 h6 ul ol li dl dt dd table thead tbody tr td th blockquote pre center")
COMMON_INLINE = _names("a b i em strong u font span sup sub del ins strike big small tt nobr")
COMMON_VOID = _names("br hr img wbr")
COMMON = COMMON_BLOCKS | COMMON_INLINE | COMMON_VOID

LINES = _names("hr li tr dt dd option title legend caption figcaption summary")
PARAGRAPHS = _names(
    "address article aside blockquote body center details dialog dir div dl fieldset figure footer form frameset h1 h2 "
    "h3 h4 h5 h6 head header html main menu nav noscript ol p pre section select table tbody tfoot thead ul"
)
CELLS = _names("td th button input textarea img iframe")
ELEMENTS = (
    COMMON
    | LINES
    | PARAGRAPHS
    | CELLS
    | _names(
        "abbr acronym applet area audio base basefont bdi bdo canvas cite code col colgroup data datalist dfn embed "
        "frame kbd label link map mark marquee meta meter object optgroup output param picture progress q rp rt ruby s "
        "samp script slot source style svg template time track var video"
    )
)

UNCLOSED = _names("p li dt dd td th tr option")
"""Elements that HTML lets stand without an end tag."""
PAGE = _names("html head body nav")
"""Elements that stand in no text but a page."""
CONTROLS = _names("form input button select textarea label svg canvas template meta link head html script style option")
"""Elements that a document has which was written to be used, rather than read."""
DROPPED = _names("head nav footer noscript iframe svg button select template object canvas")
"""Elements of a page whose content is no text of it."""
MEDIA = _names("video audio image source track object embed canvas picture")
OFFICE = ("o:", "v:", "w:", "m:", "st1:", "fb:", "g:")
"""Prefixes of the elements that office programs and social networks leave in pages."""

REASONING = _names(
    "think thinking thought thoughts reason reasoning reflection answer solution scratchpad analysis plan final "
    "response final_answer inner_monologue conclusion"
)
"""Tags that answers of reasoning models hold; they say nothing about the rest of the text."""
