"""How well a model under a policy does on a device: read speech, float32 PyTorch beside it, and the contract."""
