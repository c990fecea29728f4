"""A mock server of the WhatsApp Business API's nodes for contacts and logins."""
