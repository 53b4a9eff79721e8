"""What lets a kernel be killed or replaced while all that it holds stays: the anchor, the state, the tapes."""
