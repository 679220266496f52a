"""Whether a version may become the champion: rules, checks and the decision, as pure functions of files."""
