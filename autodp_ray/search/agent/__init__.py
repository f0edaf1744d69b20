"""The agent that proposes strategies: what it is told, and how its replies are read."""
