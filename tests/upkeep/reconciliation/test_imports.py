"""The size of one import is small enough for every client of Watch."""

import re
from collections.abc import Iterator

import pytest
from authzed.api.v1 import RelationshipUpdate, WatchResponse

from teamaccess.catalog import Catalog, load_catalog
from teamaccess.engine import MAX_IMPORT
from teamaccess.engine.convert import relationship_message
from teamaccess.relationships import Relationship

MOST_BYTES = 4 * 1024 * 1024
"""The default limit of a message in gRPC clients."""
TENANT, OBJECT = "o" * 64, "o" * 64 + "/" + "l" * 64
END = "[expiration:2027-01-01T00:00:00.123456Z]"


@pytest.mark.parametrize("name", ["fintoc", "finicom"])
def test_watch_reports_an_import_of_the_longest_ids_within_the_message_limit(
    name: str,
) -> None:
    longest = max(_bytes(each) for each in _longest(load_catalog(name)))
    assert longest * MAX_IMPORT < MOST_BYTES


def _longest(catalog: Catalog) -> Iterator[Relationship]:
    """A relationship of each kind that the schema knows, with the longest ids there can be."""
    resource = ""
    for line in catalog.schema().splitlines():
        if definition := re.match(r"definition (\w+)", line):
            resource = definition[1]
        elif relation := re.match(r"\s*relation (\w+): (.*)", line):
            id = TENANT if resource == "organization" else OBJECT
            for subject in re.findall(r"(\w+(?:#\w+)?)(?: with \w+)?", relation[2]):
                type, hash_sign, userset = subject.partition("#")
                yield Relationship.parse(
                    f"{resource}:{id}#{relation[1]}@{type}:{OBJECT}{hash_sign}{userset}{END}"
                )


def _bytes(relationship: Relationship) -> int:
    reported = RelationshipUpdate(
        operation=RelationshipUpdate.OPERATION_TOUCH,
        relationship=relationship_message(relationship),
    )
    return WatchResponse(updates=[reported]).ByteSize()
