"""SEEM itself: backbone, pixel decoder, text encoder, decoder; checkpoints in and out."""
