"""What is written for people and for other tools."""
