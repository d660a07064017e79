"""The OAuth 2.0 protocol: no rows, no GraphQL. The only importer of Authlib and of the HTTP client."""
