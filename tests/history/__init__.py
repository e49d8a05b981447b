"""What clients saw, and whether a database may have shown it to them; docs/failover.md."""
