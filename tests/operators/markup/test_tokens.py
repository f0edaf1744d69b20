"""Tags are found in one search where a text holds nothing else, and as one after another where it may."""

from __future__ import annotations

from hypothesis import assume, example, given
from hypothesis import strategies as st

from operators.markup.tokens import _NO_TAG, _tags_alone, _tokens

_PIECES = st.sampled_from(
    [
        *(
            "<p>",
            "</p>",
            "<br/>",
            '<a href="x">',
            "<",
            ">",
            "</",
            " a",
            "=",
            '"',
            "'",
            "/",
            "\n",
            "b",
            "<div class",
            "&lt;",
        ),
        *("<a href=x ", "<Kbd>", "</x-y>", "<input checked>", "<i", "<ſcript>", "<b\u0130>", "<!", "<?", "<script>"),
    ]
)


@given(st.lists(_PIECES, max_size=14).map("".join))
@example("<p>text</p> and <a href=")
@example("<p>text</p> and </di")
def test_tags_alone_are_the_same_tokens(text: str) -> None:
    assume(not _NO_TAG.search(text))
    assert list(_tags_alone(text)) == list(_tokens(text, ()))
