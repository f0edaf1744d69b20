"""Services that keep the settings, scores and results of runs beside those of others."""
