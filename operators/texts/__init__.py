"""Facts about a text, whatever operator asks: words, notation, layout, loops, encoding damage."""
