"""What a run reads, and what follows from it."""
