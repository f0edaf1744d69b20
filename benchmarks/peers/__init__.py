"""Other libraries at the same work, each a script that runs in a process of its own: IN.json OUT.json."""
