"""Distribution-preserving samples, and how true they are to the whole."""
