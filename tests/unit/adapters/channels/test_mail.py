"""Mail as a channel: by SMTP to a real server on loopback."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from builders import NOW
from loopback_smtp import smtp

from conductor.adapters.channels.apprise_address import AppriseAddress
from conductor.core.alerts.message import message_of
from conductor.model.alerts import Alert, AlertMessage, AlertNotice, NoticeKind

ALERT = Alert(
    rule="nas-gone",
    subject="Schnittplatz/nas",
    words="the root «Hochzeit Müller» is not mounted",
    runbook="nas-gone.md",
    since=NOW,
    last_at=NOW,
)


def address(port: int, login: str = "") -> str:
    return f"mailto://{login}127.0.0.1:{port}?from=conductor@studio.example&to=night@studio.example"


def told(kind: NoticeKind = "raised") -> AlertMessage:
    words = "it can be used again" if kind == "resolved" else ""
    return message_of([AlertNotice(kind=kind, alert=ALERT, words=words)], "Nacht", "Schnittplatz", NOW)


def test_a_mail_has_the_headline_as_its_subject_and_the_words_and_is_from_and_to_whom_the_address_says() -> (
    None
):
    with smtp() as server:
        channel = AppriseAddress("ALERT_MAIL", address(server.port))
        assert (channel.send(told()), channel.send(told("resolved"))) == ("", "")
        raised, over = server.next(), server.next()
    assert (raised.sender, raised.recipients) == ("conductor@studio.example", ("night@studio.example",))
    assert raised.subject == "Nacht: raised: nas-gone Schnittplatz/nas"
    assert raised.text.strip() == (
        "RAISED nas-gone Schnittplatz/nas: the root «Hochzeit Müller» is not mounted."
        " docs/runbooks/nas-gone.md"
    )
    assert over.subject == "Nacht: over: nas-gone Schnittplatz/nas"
    assert "OVER nas-gone Schnittplatz/nas: it can be used again" in over.text


def test_a_report_goes_along_as_a_file(tmp_path: Path) -> None:
    file = tmp_path / "night.html"
    file.write_text("<p>The night.</p>", encoding="utf-8")
    with smtp() as server:
        message = msgspec.structs.replace(told(), attachment=str(file))
        assert AppriseAddress("ALERT_MAIL", address(server.port)).send(message) == ""
        mail = server.next().message
    (sent,) = mail.iter_attachments()
    assert (sent.get_filename(), sent.get_content_type()) == ("night.html", "text/html")
    assert "<p>The night.</p>" in sent.get_content()


def test_a_server_that_asks_for_a_password_gets_it_and_a_wrong_one_is_said_without_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with smtp("Gehe1mnis") as server:
        right = AppriseAddress("ALERT_MAIL", address(server.port, "conductor:Gehe1mnis@"))
        wrong = AppriseAddress("ALERT_MAIL", address(server.port, "conductor:Falsch4711@"))
        assert right.send(told()) == ""
        assert server.next().subject.startswith("Nacht: raised")
        said = wrong.send(told())
    assert "535" in said and "Falsch4711" not in said
    assert capfd.readouterr() == ("", "")


def test_a_server_that_refuses_or_is_not_there_is_a_sentence() -> None:
    with smtp() as server:
        server.refuses = "mailbox full"
        refused = AppriseAddress("ALERT_MAIL", address(server.port)).send(told())
        port = server.port
    gone = AppriseAddress("ALERT_MAIL", address(port)).send(told())
    assert "mailbox full" in refused and "onnection" in gone
