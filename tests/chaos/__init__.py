"""`make chaos`: a whole console at work, whose processes are killed at random moments. No job may be lost."""
