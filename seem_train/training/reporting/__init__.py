"""What a run writes for people: log, tables, curves, pictures."""
