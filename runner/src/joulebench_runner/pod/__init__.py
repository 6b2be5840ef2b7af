"""What the containers of a run's pods do with the operator's assignment."""
