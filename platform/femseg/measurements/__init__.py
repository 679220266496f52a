"""What a surgeon's planner measures on a femur, out of its mask and, for its canal, its CT."""
