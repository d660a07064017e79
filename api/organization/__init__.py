"""People, folders and OAuth apps: what an organization sets up before anyone connects."""
