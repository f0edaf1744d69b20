"""The forms of rows: a family, one file a form (base.py says what a form is, all_forms.py lists them)."""
