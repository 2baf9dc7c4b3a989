"""What `trainer` is made of: one step, what is told, shown and kept, and what it costs."""
