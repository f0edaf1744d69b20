"""The sources of the documentation's site: the pages of docs/, those of the repository, and those made from code."""
