"""What is installed, reachable and big enough for a run, said before the first one."""
