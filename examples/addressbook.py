"""Write an address book into a file and read it back.

    python examples/addressbook.py [FILE]

The first thing to read here: how a message is made, and where it is.
"""

from __future__ import annotations

import os
import sys
import tempfile

import capnp

from mmapbuilder import MessageBuilder, open_message

# A schema says what a message looks like; pycapnp makes classes of it.
schema = capnp.load(os.path.join(os.path.dirname(os.path.abspath(__file__)), "addressbook.capnp"))


def write(path: str) -> None:
    """Write two people to `path`."""
    with MessageBuilder(path) as builder:
        # From here on we use pycapnp as always. Only the memory is another: each
        # assignment below stores into the file, which grows as it is written.
        book = builder.init_root(schema.AddressBook)
        people = book.init("people", 2)  # a list has a length from the start

        ada = people[0]
        ada.id = 1
        ada.name = "Ada Lovelace"
        ada.email = "ada@example.com"
        phones = ada.init("phones", 2)
        phones[0].number = "555-1815"
        phones[0].type = "home"
        phones[1].number = "555-1852"
        phones[1].type = "mobile"
        ada.employment.selfEmployed = None  # a member without a value: it is just chosen

        alan = people[1]
        alan.id = 2
        alan.name = "Alan Turing"
        alan.email = "alan@example.com"
        alan.init("phones", 1)[0].number = "555-1912"
        alan.employment.employer = "Bletchley Park"
    # The block is over: the message is finished, and its file as long as it has to be.


def show(path: str) -> None:
    """Print the people in `path`."""
    # The file is mapped, not read: what we do not look at is never loaded.
    with open_message(path, schema.AddressBook) as message:
        for person in message.root.people:
            print(f"{person.id}: {person.name} <{person.email}>")
            for phone in person.phones:
                print(f"   {phone.type}: {phone.number}")

            choice = person.employment.which()
            if choice in ("employer", "school"):
                print(f"   {choice}: {getattr(person.employment, str(choice))}")
            else:
                print(f"   {choice}")


def main() -> None:
    """Write the book where the command line says, or where it is deleted afterwards."""
    if len(sys.argv) > 1:
        write(sys.argv[1])
        show(sys.argv[1])
        print(f"\n{sys.argv[1]}: {os.path.getsize(sys.argv[1])} bytes, for any Cap'n Proto reader")
    else:
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "people.bin")
            write(path)
            show(path)


if __name__ == "__main__":
    main()
