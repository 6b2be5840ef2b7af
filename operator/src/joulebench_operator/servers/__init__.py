"""ModelServers: a Deployment, its Services, and how they stand. Pure decisions."""
