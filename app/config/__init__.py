"""What integrators write: the schema of sources and destinations, and the loading of YAML files."""
