"""Where a text is a scraped page, and how its markup and boilerplate are removed."""
