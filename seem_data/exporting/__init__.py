"""A dataset in the folders and file names that other code insists on. One target a file."""
