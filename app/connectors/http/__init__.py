"""Destinations that take a lead as one HTTP request: JSON, form, XML or query."""

from app.connectors.http.connector import HttpConnector

CONNECTOR = HttpConnector

__all__ = ["CONNECTOR"]
