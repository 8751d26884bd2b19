"""Reads, flags, searches, moves and idles with imap-tools, as a script of somebody else's would.

Takes quickstart's ready line as its argument.
"""

import json
import ssl
import smtplib
import sys
import threading
from email.message import EmailMessage

from imap_tools import AND, MailBox, MailMessageFlags

ready = json.loads(sys.argv[1])
trust = ssl.create_default_context(cafile=ready["ca"])
users = {user["address"].split("@")[0]: user for user in ready["users"]}


def port(name):
    return int(ready["listeners"][name].rsplit(":", 1)[1])


def send(subject, body, attachment=None):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "alice@clinic.test", "bob@clinic.test", subject
    message.set_content(body)
    if attachment:
        message.add_attachment(attachment, maintype="application", subtype="pdf", filename="résumé.pdf")
    with smtplib.SMTP_SSL("localhost", port("submissions"), context=trust) as smtp:
        smtp.login(users["alice"]["address"], users["alice"]["app_password"])
        smtp.send_message(message)


def sign_in():
    mailbox = MailBox("localhost", port("imaps"), ssl_context=trust)
    return mailbox.login(users["bob"]["address"], users["bob"]["app_password"])


# Reads
send("Grüße from the lab", "The body, with ü and a line.\n", b"%PDF-1.4 " + bytes(range(256)) * 40)
with sign_in() as mailbox:
    found = list(mailbox.fetch(AND(subject="from the lab"), mark_seen=False))
    assert len(found) == 1, [message.subject for message in mailbox.fetch()]
    message = found[0]
    assert message.subject == "Grüße from the lab" and message.from_ == "alice@clinic.test"
    assert message.text.replace("\r\n", "\n") == "The body, with ü and a line.\n", repr(message.text)
    assert message.attachments[0].filename == "résumé.pdf"
    assert message.attachments[0].payload == b"%PDF-1.4 " + bytes(range(256)) * 40
    assert MailMessageFlags.SEEN not in message.flags

    # Flags
    mailbox.flag(message.uid, [MailMessageFlags.FLAGGED, "$Work", "to-do"], True)
    again = next(mailbox.fetch(AND(uid=message.uid)))
    assert {MailMessageFlags.FLAGGED, "$Work", "to-do"} <= set(again.flags), again.flags
    assert [m.uid for m in mailbox.fetch(AND(keyword="to-do"))] == [message.uid]
    assert message.uid in mailbox.uids(AND(seen=True, flagged=True))
    mailbox.flag(message.uid, ["$Work"], False)

    # Folders, copies, moves
    mailbox.folder.create("Lab")
    mailbox.copy(message.uid, "Lab")
    mailbox.folder.create("Old")
    mailbox.move(message.uid, "Old")
    assert not mailbox.uids(AND(subject="from the lab"))
    mailbox.folder.rename("Old", "Older")
    mailbox.folder.set("Older")
    moved = next(mailbox.fetch(mark_seen=False))
    assert moved.obj.as_bytes() == message.obj.as_bytes()
    assert "$Work" not in moved.flags and "to-do" in moved.flags, moved.flags
    mailbox.delete(moved.uid)
    assert mailbox.uids() == []
    mailbox.folder.set("INBOX")
    mailbox.folder.delete("Older")
    names = {folder.name for folder in mailbox.folder.list()}
    assert "Lab" in names and "Older" not in names, names

# Idles: a message that is sent while the client waits wakes it
with sign_in() as mailbox:
    before = len(mailbox.uids())
    mailbox.idle.start()
    threading.Thread(target=send, args=("while you waited", "x\n")).start()
    seen = mailbox.idle.poll(timeout=30)
    mailbox.idle.stop()
    assert any(b"EXISTS" in response for response in seen), seen
    assert len(mailbox.uids()) == before + 1

print("imap-tools: read, flagged, searched, copied, moved, renamed, deleted, idled")
