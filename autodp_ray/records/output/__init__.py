"""Record tables written as files of their source's format and form."""
