"""Pod specs: what all pods of ours have, and what users and administrators may lay over them. Pure."""
