"""ST-GCN for skeleton action recognition: the trainer. Knows tensors and one spec; never imports runner."""
