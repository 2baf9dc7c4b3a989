"""What `evaluate` is made of: scores of one image, results, comparisons, files and the report."""
