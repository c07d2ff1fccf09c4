"""Destinations that take a lead, or an event, as a signed webhook (Standard Webhooks)."""

from app.connectors.webhook.connector import WebhookConnector

CONNECTOR = WebhookConnector

__all__ = ["CONNECTOR"]
