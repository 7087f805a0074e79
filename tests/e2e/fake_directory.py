# SPDX-License-Identifier: ISC
"""A directory for what slapd cannot play: Active Directory with its fast bind. It speaks as much of
LDAP (RFC 4511) as proxyd says, finds one entry whatever it is asked, and notes what came on which
connection."""
import socket
import threading

FAST_BIND = '1.2.840.113556.1.4.1781'
BIND, BIND_RESPONSE, UNBIND, SEARCH, ENTRY, DONE, EXTENDED, EXTENDED_RESPONSE = (
    0x60, 0x61, 0x42, 0x63, 0x64, 0x65, 0x77, 0x78)
SUCCESS, INVALID_CREDENTIALS = 0, 49


def tlv(tag, *parts):
    """An element of BER; its content is what stands behind the tag."""
    content = b''.join(part.encode() if isinstance(part, str) else part for part in parts)
    size = len(content)
    return bytes([tag, size] if size < 128 else [tag, 0x82, size >> 8, size & 255]) + content


def split(data):
    """The first element of DATA (its tag and content) and the rest."""
    size, start = data[1], 2
    if size & 128:
        start += size & 127
        size = int.from_bytes(data[2:start], 'big')
    if len(data) < start + size:
        raise IndexError
    return data[0], data[start:start + size], data[start + size:]


def elements(data):
    found = []
    while data:
        tag, content, data = split(data)
        found.append((tag, content))
    return found


class FakeDirectory:
    """Its entry has the DN `dn`, the ATTRIBUTES, and PASSWORD as its only right one. `seen` is a list of
    (connection, what): 'root', 'search', 'fast bind', or the DN of a bind."""

    def __init__(self, dn, password, attributes):
        self.dn, self.password, self.attributes, self.seen = dn, password, attributes, []
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.url = f'ldap://127.0.0.1:{self.listener.getsockname()[1]}'
        threading.Thread(target=self.accept, daemon=True).start()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self):
        number = 0
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            number += 1
            threading.Thread(target=self.serve, args=(number, sock), daemon=True).start()

    def serve(self, number, sock):
        data = b''
        with sock:
            while more := sock.recv(65536):
                data += more
                try:
                    while data:
                        _, message, data = split(data)
                        (_, identity), (tag, request) = elements(message)[:2]
                        sock.sendall(b''.join(tlv(0x30, tlv(2, identity), answer)
                                              for answer in self.answer(number, tag, request)))
                except IndexError:
                    pass  # not whole yet

    def answer(self, number, tag, request):
        if tag == BIND:
            _, dn, password = (content for _, content in elements(request))
            self.seen.append((number, dn.decode()))
            right = dn.decode() != self.dn or password.decode() == self.password
            return [self.result(BIND_RESPONSE, SUCCESS if right else INVALID_CREDENTIALS)]
        if tag == SEARCH:
            base = elements(request)[0][1].decode()
            self.seen.append((number, 'search' if base else 'root'))
            return [self.entry(self.dn, self.attributes) if base else self.entry('', {'supportedExtension': FAST_BIND}),
                    self.result(DONE, SUCCESS)]
        if tag == EXTENDED and elements(request)[0][1].decode() == FAST_BIND:
            self.seen.append((number, 'fast bind'))
            return [self.result(EXTENDED_RESPONSE, SUCCESS)]
        return []

    @staticmethod
    def result(tag, code):
        return tlv(tag, tlv(10, bytes([code])), tlv(4), tlv(4))

    @staticmethod
    def entry(dn, attributes):
        return tlv(ENTRY, tlv(4, dn), tlv(0x30, *(
            tlv(0x30, tlv(4, name), tlv(0x31, tlv(4, value))) for name, value in attributes.items())))
