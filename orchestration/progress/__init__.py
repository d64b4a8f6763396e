"""What is told while a sweep runs: events, how far each trial is, and how it is shown."""
