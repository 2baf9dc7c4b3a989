"""Who is in which split."""
