"""What the tests share: processes, requirements, other readers, mounts, messages."""
