"""Other libraries at the same work, each a script that runs in a process of its own: IN.json OUT.json.

What runs in a peer's own environment imports nothing but that peer, the standard library and `measured.py`.
"""
