"""What a command uses of its cluster: Ray, room for what it starts, where rows may go."""
