"""The build: find the images, make each one, put them in place."""
