"""The search loop, and the agent that proposes strategies."""
