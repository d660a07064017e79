"""From a text to what it says: which format it is decides who reads it."""

from api.catalog.descriptions.bounds import NotReadable
from api.catalog.descriptions.description import Description
from api.catalog.descriptions.document import Document, line, text
from api.catalog.descriptions.openapi import read_openapi
from api.catalog.descriptions.postman import read_postman
from api.catalog.descriptions.swagger import read_swagger
from api.catalog.descriptions.texts import read_document

_OPENAPI = ("3.0", "3.1", "3.2")


def read_description(document: str) -> Description:
    """What an API description says. Raises NotReadable."""
    found = Document(read_document(document))
    version = line(found.root.get("openapi"), longest=20)
    if version.startswith(_OPENAPI):
        return read_openapi(found, version)
    # In YAML it may be a number.
    if str(found.root.get("swagger")) in ("2.0", "2"):
        return read_swagger(found)
    schema = text(found.table(found.root.get("info")).get("schema"))
    if "collection/v2." in schema:
        return read_postman(found)
    if "item" in found.root and "info" in found.root:
        raise NotReadable("is a Postman collection of another version than 2: export it as version 2.1")
    raise NotReadable("is none of OpenAPI 3.0 to 3.2, Swagger 2.0, and Postman collection 2: it does not say so at its top")
