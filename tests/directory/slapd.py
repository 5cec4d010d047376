"""A real slapd for the tests: in a temporary folder, on free ports, with certificates of a throw-away authority."""

import datetime as dt
import ipaddress
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SLAPD = shutil.which("slapd", path="/usr/sbin:/usr/local/sbin:/usr/libexec:/usr/lib/openldap:/usr/bin")
SUFFIX = "dc=example,dc=org"
PEOPLE, GROUPS = f"ou=people,{SUFFIX}", f"ou=groups,{SUFFIX}"
ROOT, ROOT_PASSWORD = f"cn=root,{SUFFIX}", "root-password"
READER, READER_PASSWORD = f"cn=reader,{SUFFIX}", "reader-password"
PASSWORD = "a fine ldap password"

_CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
moduleload refint
pidfile {folder}/slapd.pid
allow bind_anon_cred bind_anon_dn
TLSCACertificateFile {folder}/ca.pem
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
{security}
database mdb
maxsize 104857600
suffix "{suffix}"
rootdn "{root}"
rootpw {root_password}
directory {folder}/data
dbnosync
index objectClass,uid,member,entryUUID eq
overlay memberof
overlay refint
refint_attributes member
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{reader}" read by anonymous auth by * none
"""


@dataclass
class Authority:
    """Makes certificates. Another one is somebody nobody trusts."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    name: str = "Throw-away CA"

    def __post_init__(self) -> None:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        built = self._builder(subject, subject, self.key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), True
        )
        self.certificate = built.sign(self.key, hashes.SHA256())

    def write(self, path: Path) -> Path:
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def issue(self, folder: Path, *names: str) -> None:
        """Write server.pem and server.key for a server of these names or addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        alternatives = x509.SubjectAlternativeName([_name(name) for name in names])
        built = self._builder(subject, self.certificate.subject, key).add_extension(alternatives, False)
        certificate = built.sign(self.key, hashes.SHA256())
        (folder / "server.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / "server.key").write_bytes(private)

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
        )


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


class Slapd:
    """One server. What a test changes in it is taken back by `restore`."""

    def __init__(self, *, security: str = "", names: tuple[str, ...] = ("127.0.0.1", "localhost")) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fathom-slapd-"))
        (self.folder / "data").mkdir()
        self.authority = Authority()
        self.ca_file = self.authority.write(self.folder / "ca.pem")
        self.authority.issue(self.folder, *names)
        self.port, self.tls_port = _free_ports()
        text = _CONFIGURATION.format(
            folder=self.folder, security=security, suffix=SUFFIX, root=ROOT, root_password=ROOT_PASSWORD, reader=READER
        )
        (self.folder / "slapd.conf").write_text(text)
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"ldaps://127.0.0.1:{self.tls_port}"

    def start(self) -> None:
        command = [SLAPD, "-f", str(self.folder / "slapd.conf"), "-h", f"{self.url} {self.tls_url}", "-d", "0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE)
        until = time.monotonic() + 20
        for port in (self.port, self.tls_port):
            while not _answers(port):
                assert self.process.poll() is None, self.process.stderr.read().decode()  # type: ignore[union-attr]
                assert time.monotonic() < until, "slapd does not answer"
                time.sleep(0.02)

    def stop(self) -> None:
        """The server is gone, and its data stays."""
        if self.process is not None:
            self.process.terminate()
            self.process.communicate(timeout=20)
            self.process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def root(self):
        import ldap

        connection = ldap.initialize(self.tls_url)
        connection.set_option(ldap.OPT_X_TLS_CACERTFILE, str(self.ca_file))
        connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
        connection.simple_bind_s(ROOT, ROOT_PASSWORD)
        return connection

    def fill(self) -> None:
        """Two units, the account that searches, people and groups.

        ana and ben are in "vision-core", which is in "vision", which is in "research"; ben leads "leads"; "loop-a" and
        "loop-b" contain each other, and carl.
        """
        connection = self.root()
        _add(connection, SUFFIX, objectClass=["dcObject", "organization"], dc=["example"], o=["Example"])
        for unit in ("people", "groups"):
            _add(connection, f"ou={unit},{SUFFIX}", objectClass=["organizationalUnit"], ou=[unit])
        _add(connection, READER, objectClass=["organizationalRole", "simpleSecurityObject"], cn=["reader"],
             userPassword=[READER_PASSWORD])  # fmt: skip
        for name in ("ana", "ben", "carl", "dora"):
            _add(connection, dn_of(name), **entry(name))
        groups = {
            "vision-core": [dn_of("ana"), dn_of("ben")],
            "vision": [group_dn("vision-core")],
            "research": [group_dn("vision")],
            "leads": [dn_of("ben")],
            "loop-a": [dn_of("carl")],
            "loop-b": [group_dn("loop-a")],
        }
        for name, members in groups.items():
            _add(connection, group_dn(name), objectClass=["groupOfNames"], cn=[name], member=members)
        self.add_members("loop-a", group_dn("loop-b"))
        connection.unbind_s()

    def empty(self) -> None:
        """Take everything out, the deepest first."""
        import ldap

        connection = self.root()
        try:
            found = connection.search_s(SUFFIX, ldap.SCOPE_SUBTREE, "(objectClass=*)", ["1.1"])
        except ldap.NO_SUCH_OBJECT:
            found = []
        for dn, _ in sorted(found, key=lambda entry: -len(ldap.dn.str2dn(entry[0]))):
            connection.delete_s(dn)
        connection.unbind_s()

    def restore(self) -> None:
        if self.process is None:
            self.start()
        self.empty()
        self.fill()

    def add_person(self, name: str, **attributes: list[str]) -> None:
        connection = self.root()
        _add(connection, dn_of(name), **{**entry(name), **attributes})
        connection.unbind_s()

    def remove_person(self, name: str) -> None:
        connection = self.root()
        connection.delete_s(dn_of(name))
        connection.unbind_s()

    def change(self, dn: str, **attributes: list[str]) -> None:
        import ldap

        connection = self.root()
        connection.modify_s(
            dn, [(ldap.MOD_REPLACE, key, [value.encode() for value in values]) for key, values in attributes.items()]
        )
        connection.unbind_s()

    def rename(self, name: str, new: str) -> None:
        connection = self.root()
        connection.rename_s(dn_of(name), f"uid={new}")
        connection.unbind_s()

    def add_members(self, group: str, *dns: str) -> None:
        import ldap

        connection = self.root()
        connection.modify_s(group_dn(group), [(ldap.MOD_ADD, "member", [dn.encode() for dn in dns])])
        connection.unbind_s()

    def add_group(self, name: str, *dns: str) -> None:
        connection = self.root()
        _add(connection, group_dn(name), objectClass=["groupOfNames"], cn=[name], member=list(dns))
        connection.unbind_s()

    def remove_members(self, group: str, *dns: str) -> None:
        import ldap

        connection = self.root()
        connection.modify_s(group_dn(group), [(ldap.MOD_DELETE, "member", [dn.encode() for dn in dns])])
        connection.unbind_s()


def dn_of(name: str) -> str:
    return f"uid={name},{PEOPLE}"


def group_dn(name: str) -> str:
    return f"cn={name},{GROUPS}"


def entry(name: str) -> dict[str, list[str]]:
    return {
        "objectClass": ["inetOrgPerson"],
        "uid": [name],
        "cn": [f"{name.title()} Example"],
        "sn": ["Example"],
        "givenName": [name.title()],
        "mail": [f"{name}@example.org"],
        "userPassword": [PASSWORD],
    }


def _add(connection, dn: str, **attributes: list[str]) -> None:
    connection.add_s(dn, [(key, [value.encode() for value in values]) for key, values in attributes.items()])


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
