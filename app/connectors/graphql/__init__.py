"""Destinations that take a lead as one GraphQL operation, its variables filled in by the mapping."""

from app.connectors.graphql.connector import GraphqlConnector

CONNECTOR = GraphqlConnector

__all__ = ["CONNECTOR"]
