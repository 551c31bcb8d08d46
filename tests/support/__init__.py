"""What the tests share: programs run apart, other readers, mounts, messages."""
