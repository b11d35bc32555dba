"""What a server on the local network needs: its address, a certificate, a code to photograph."""

import datetime
import io
import socket
import ssl
from pathlib import Path

from bcjax.runtime import extras
from bcjax.runtime.errors import UserError

_VALID = datetime.timedelta(days=30)  # of a certificate that is made anew at each start
_EVERYWHERE = ("", "0.0.0.0", "::")


def own_address(host: str) -> str:
    """Returns the address that others on the network reach a listener at `host` by."""
    if host not in _EVERYWHERE:
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address of documentation; nothing is sent
            return probe.getsockname()[0]
        except OSError:
            return "127.0.0.1"


def url(address: str, port: int) -> str:
    """Returns the URL of an HTTPS server."""
    return f"https://{f'[{address}]' if ':' in address else address}:{port}/"


def self_signed(address: str) -> ssl.SSLContext:
    """Returns what encrypts with a certificate that nobody vouches for.

    Raises:
      UserError: If the extra is not installed.
    """
    extras.check("trustme", "The app's certificate")
    import trustme

    until = datetime.datetime.now(datetime.UTC) + _VALID
    issuer = trustme.CA(organization_name="bcjax on this computer")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer.issue_cert(address, "localhost", not_after=until).configure_cert(context)
    return context


def certified(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """Returns what encrypts with a certificate of the user's.

    Args:
      certificate: PEM file, with the chain.
      key: PEM file of its key; None: the certificate's file holds it, too.

    Raises:
      UserError: If they cannot be read, or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror if type(error) is not ssl.SSLError else error.reason
        raise UserError(
            f"{certificate} and its key cannot be used ({reason or error}): give two PEM files "
            "that belong together, as --certificate=FILE --key=FILE."
        ) from error
    return context


def code(text: str) -> str:
    """Returns a QR code, drawn with the characters of a terminal.

    Raises:
      UserError: If the extra is not installed.
    """
    extras.check("segno", "The app's QR code")
    import segno

    drawn = io.StringIO()
    segno.make(text, micro=False).terminal(drawn, border=2, compact=True)
    return drawn.getvalue()
