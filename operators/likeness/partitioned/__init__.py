"""The groups of row_likeness.py where no process may hold the sketches of all rows: steps of an exchange."""
