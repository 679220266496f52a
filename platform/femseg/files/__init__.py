"""Files that survive a kill, a full disk and two writers at once."""
