"""What a login is, and how it is refused."""

from dataclasses import dataclass

from api.secret import Secret


@dataclass(frozen=True, slots=True)
class Login:
    """`protocol` is one of ldap, imap, smtp, pop3; `security` one of tls, starttls, none."""

    protocol: str
    host: str
    port: int
    security: str
    username: str
    password: Secret

    def __post_init__(self) -> None:
        # Any other word would mean a password in the clear.
        if self.security not in ("tls", "starttls", "none"):
            raise ValueError("security is tls, starttls or none")

    @property
    def origin(self) -> str:
        return f"{self.protocol}://{self.host}"


class LoginRejected(Exception):
    """The server looked at the credential and did not take it."""
