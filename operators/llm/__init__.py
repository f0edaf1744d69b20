"""How operators ask a chat model: prompts, and the completion of rows."""
