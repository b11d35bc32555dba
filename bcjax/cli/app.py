"""Serve a trained run as an app for telephones, on the local network.

  bcjax app --workdir=runs/a
  bcjax app --workdir=runs/a --port=9000 --host=192.168.1.20

The app is a page that answers pictures of single cells in the browser, by camera or from files: no
picture leaves the telephone. It is exported to export/webapp/ in the workdir (as by bcjax export
--format=webapp), checked, and served over HTTPS, for browsers give the camera to no other page.
Open the printed address on a telephone in the same network, or photograph the code. Browsers warn
of the certificate, which is made at each start: --certificate and --key take one that they trust.
Ctrl-C stops the server.
"""

import dataclasses
import sys
from pathlib import Path

from bcjax.cli import flags
from bcjax.cli.flags import CHECKPOINT, Arguments, Flag
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir

FLAGS = (
    flags.workdir("the run to serve"),
    dataclasses.replace(CHECKPOINT, meaning="best, latest or a step."),
    Flag("port", "The port to listen at; 0: any that is free.", 8443, int, least=0),
    Flag("host", "The address to listen at; default: all of this computer's.", "0.0.0.0"),
    Flag("certificate", "A certificate that browsers trust, as PEM.", kind=Path),
    Flag("key", "Its key, as PEM, if another file holds it.", kind=Path),
)

_WARNING = (
    "The browser will warn that it does not know the certificate: it was made on this computer a "
    "moment ago, and nobody vouches for it. Go on to the page (Advanced, then Proceed). Such a "
    "page cannot be kept for use without a network; with --certificate and --key it can."
)


def run(arguments: Arguments) -> None:
    from bcjax.exports.webapp import local_network
    from bcjax.exports.webapp.folder import POLICY
    from bcjax.exports.webapp.server import Server

    if arguments.key and not arguments.certificate:
        raise UserError("--key is the key of a certificate: give --certificate, too.")
    address = local_network.own_address(arguments.host)
    if arguments.certificate:
        context = local_network.certified(arguments.certificate, arguments.key)
    else:
        context = local_network.self_signed(address)
    with Server(arguments.host, arguments.port, POLICY, context) as server:
        server.publish(_folder(arguments))
        url = local_network.url(address, server.port)
        print(local_network.code(url))
        print(f"The app of {arguments.workdir} is at {url} for whoever is in the same network.")
        if not arguments.certificate:
            print(_WARNING)
        print("Ctrl-C stops it.", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopped")


def _folder(arguments: Arguments) -> Path:
    from bcjax.evaluation import trained_network
    from bcjax.exports.certificate import FailedCheckError
    from bcjax.exports.webapp import app
    from bcjax.exports.webapp.folder import FOLDER
    from bcjax.runtime import compilation

    compilation.use_cache()
    folder = RunDir(arguments.workdir).exported / FOLDER
    try:
        exported = app.ready(trained_network.load(arguments.workdir, arguments.checkpoint), folder)
    except FailedCheckError as error:
        sys.exit(f"{error} Nothing was written.")
    print(f"{'exported to' if exported else 'found'} {folder}")
    return folder
