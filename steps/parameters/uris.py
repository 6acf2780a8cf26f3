"""What is secret in the URLs that a user gives, and hiding it."""

import re
from urllib.parse import urlsplit


def redact_credentials(text: str) -> str:
    """Return a text without the passwords and signatures of the URLs in it; in doubt less of it."""
    hidden = re.sub(r"://([^:/@\s]*):\S*@", r"://\1:***@", text)
    hidden = re.sub(r"([?&]password=)[^&\s]*", r"\1***", hidden)
    # Of a web address, a name may be a token, and what follows a question mark a signature.
    hidden = re.sub(r"(?i)(https?://)[^/@\s]*@", r"\1***@", hidden)
    return re.sub(r"(?i)(https?://[^?#\s'\"]*\?)[^#\s'\"]+", r"\1***", hidden)


def names_a_user(text: str) -> bool:
    """Return whether a URL holds a user name, such as ``http://me:secret@host``."""
    try:
        parts = urlsplit(text)
        _ = parts.port
        return "@" in parts.netloc
    except ValueError:  # not a port: what follows the colon may be a password
        return "@" in text
