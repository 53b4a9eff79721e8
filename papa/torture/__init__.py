"""A load whose every byte is accounted for, and a kernel that is killed under it."""
