"""What `Predictor` is made of: photos and prompts in, answers out."""
