"""Stop rules: each says before a round whether the search must end."""
