"""Templates: `{{ lead.email | downcase }}` in the language of Liquid, compiled once, rendered for every delivery.

Plain paths and filter chains become closures of our own; whatever has tags (`{% if %}`) is python-liquid's, under limits.
Both use the same filters and the same way of writing a value as text. Knows nothing of leads, mappings or destinations:
a template reads mappings and lists, never attributes of objects.
"""

from app.templates.compiling import Slot, Template, compile_template, is_template, joined, slots
from app.templates.text import to_text

__all__ = ["Slot", "Template", "compile_template", "is_template", "joined", "slots", "to_text"]
