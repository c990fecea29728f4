"""Who is meant: phone numbers, WhatsApp ids, pseudonyms and the suppression list."""
