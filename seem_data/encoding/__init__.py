"""Id map ─▶ what the files of a dataset hold."""
