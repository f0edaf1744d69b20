"""Data-Juicer's operators for the work of our row operators: markup, links, addresses, symbols, loops, tokens.

Its word repetition needs a model for scripts without spaces, so Chinese is judged by characters. It repairs no
encodings here, as our `strip_markup` does: fix_unicode_mapper is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from data_juicer.core.data import NestedDataset
from data_juicer.ops.filter.character_repetition_filter import CharacterRepetitionFilter
from data_juicer.ops.filter.special_characters_filter import SpecialCharactersFilter
from data_juicer.ops.filter.token_num_filter import TokenNumFilter
from data_juicer.ops.filter.word_repetition_filter import WordRepetitionFilter
from data_juicer.ops.mapper.clean_email_mapper import CleanEmailMapper
from data_juicer.ops.mapper.clean_html_mapper import CleanHtmlMapper
from data_juicer.ops.mapper.clean_links_mapper import CleanLinksMapper

from benchmarks.peer_scripts.measured import Row, Settings, Work, main, text_of

REPETITION = {"english": WordRepetitionFilter, "chinese": CharacterRepetitionFilter}
IN_PROCESS = {"auto_op_parallelism": False, "num_proc": None}
"""Its `num_proc=1` would start another process for each step."""


def build(settings: Settings) -> Work:
    operators = (
        CleanHtmlMapper(**IN_PROCESS),
        CleanLinksMapper(**IN_PROCESS),
        CleanEmailMapper(**IN_PROCESS),
        SpecialCharactersFilter(max_ratio=settings.max_special_frac, **IN_PROCESS),
        TokenNumFilter(hf_tokenizer=settings.tokenizer, min_num=1, max_num=settings.max_tokens, **IN_PROCESS),
        REPETITION[settings.language](max_ratio=settings.max_repeated_frac, **IN_PROCESS),
    )

    def work(rows: Sequence[Row]) -> Sequence[int]:
        texts = [text_of(row) for row in rows]
        dataset = NestedDataset.from_dict({"text": texts, "row": list(range(len(texts)))})
        for operator in operators:
            dataset = operator.run(dataset)
        return list(dataset["row"])

    return work


if __name__ == "__main__":
    main(build)
