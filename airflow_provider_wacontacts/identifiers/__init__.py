"""Identifiers of people: phone numbers, WhatsApp ids, pseudonyms and the suppression list."""
