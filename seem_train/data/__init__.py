"""From a dataset on disk to batches: samples, augmentation, simulated users, order."""
