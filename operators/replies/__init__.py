"""How a reply of a chat model is read, and the guards that reject a bad one."""
