"""What a model costs: floating-point operations, and bytes at their peak."""
