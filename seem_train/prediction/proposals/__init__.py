"""What a model found as annotations for a person to correct."""
