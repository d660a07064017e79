"""A small OAuth 2.0 provider of our own, so that the first connection needs no vendor account.

It behaves as a strict vendor would: consent, PKCE with S256 only, short-lived access tokens, refresh tokens that rotate and whose
reuse ends the grant, revocation, an API that answers only to a living token. On its control page every trouble that a vendor can
have is a switch. It guards nothing worth guarding: whoever reaches its pages may consent as anyone and throw every switch.
"""

from api.sandbox.app import create_sandbox
from api.sandbox.sandbox import Sandbox

__all__ = ["Sandbox", "create_sandbox"]
