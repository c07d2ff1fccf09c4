"""Destinations that take a lead as one HTTP request: JSON, form, multipart, XML, text or query."""

from app.connectors._http.connector import HttpConnector

CONNECTOR = HttpConnector

__all__ = ["CONNECTOR"]
