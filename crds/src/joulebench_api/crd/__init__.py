"""API models -> CustomResourceDefinitions and JSON Schemas. Pure: nothing here reads or writes a file of ours."""
