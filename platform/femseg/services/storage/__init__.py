"""Arrays, checkpoints and packages where every node reaches them: a shared folder or S3."""
