"""Destinations that take a lead as one call of a SOAP operation, its arguments filled in by the mapping."""

from app.connectors.soap.connector import SoapConnector

CONNECTOR = SoapConnector

__all__ = ["CONNECTOR"]
