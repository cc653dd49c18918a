"""Configuration and contracts: typed settings, wire models and their JSON Schemas."""
