"""Identifiers of people: phone numbers, WhatsApp IDs, pseudonyms and the suppression list."""
