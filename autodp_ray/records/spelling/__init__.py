"""How one dataset spells its rows: its layout, and turns and texts spelled by it."""
