"""Trusted documents: known by their sha256 from the start, so that clients send an id alone.

Every transport gives the parameters of a request here, and gets the operation that they mean. The
id of a document is the hex sha256 of its file's bytes without the newlines at the end, which is
what `printf %s "$(cat FILE)" | sha256sum` prints; the same of what GraphQL's printer makes of it
works too, since some clients print a document before they hash it. Nothing is ever registered
by a client.

What else is executed, and how much is told of the schema, depends on who asks: an operator, or
a server in development, keeps nothing back.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from graphql import GraphQLError, OperationDefinitionNode, parse, print_ast

from bus.errors import ConfigurationError
from schema.context import Context
from schema.operations import Operation, OperationError, Operations

_PREFIX: Final = "sha256:"


class DocumentError(ConfigurationError):
    """Raised when a folder of trusted documents cannot be used; the text names the file."""


class Request(NamedTuple):
    """A valid operation, and what it is executed with."""

    query: str
    operation: Operation
    name: str | None
    variables: dict[str, Any] | None


class Documents:
    """The documents that may be executed.

    Reads `*.graphql` of `directories` once, and never forgets them; raises DocumentError. With
    `trusted_only` it refuses all others, and does not say what is wrong with them. In `development`
    the schema is no secret.
    """

    def __init__(
        self,
        operations: Operations,
        directories: Iterable[Path] = (),
        *,
        trusted_only: bool = False,
        development: bool = False,
    ) -> None:
        self._operations = operations
        self._trusted_only = trusted_only
        self._development = development
        self._texts: dict[str, str] = {}
        self._trusted: dict[str, Operation] = {}
        for directory in directories:
            if not directory.is_dir():
                raise DocumentError(f"{directory} is no folder; expected one with *.graphql files")
            for file in sorted(directory.glob("*.graphql")):
                try:
                    self._register(file.read_bytes().rstrip(b"\n").decode())
                except (OSError, UnicodeDecodeError, GraphQLError, OperationError) as error:
                    raise DocumentError(f"{file} is no document of the schema: {error}") from None

    @property
    def ids(self) -> frozenset[str]:
        """The ids of all documents registered, two of those that a printer would write otherwise."""
        return frozenset(self._texts)

    @property
    def trusted(self) -> tuple[Operation, ...]:
        """The operations of all documents registered."""
        return tuple(self._trusted.values())

    def open(self, parameters: Mapping[str, Any], *, operator: bool | None = None) -> Request:
        """Return what parameters without a `fault` ask for; raise OperationError for what cannot be executed.

        `operator`: whether an operator asks, for whom there are more documents than the trusted ones,
        and who may ask for the schema; None: sign-in is off, so that nobody is known as one.
        """
        query = self._text(parameters)
        name, variables = parameters.get("operationName") or None, parameters.get("variables")
        if self._trusted_only and not operator and not self._is_trusted(query, name):
            raise _refused("only documents registered with this server are executed", "DOCUMENT_NOT_TRUSTED")
        secret = operator is False and not self._development
        try:
            operation = self._operations.open(query, name)
        except OperationError as error:
            raise _kept_back(error) if secret else error from None
        if secret and operation.about_schema and operation.normal not in self._trusted:
            raise _introspection()
        self._operations.check(operation, variables)
        return Request(query, operation, name, variables)

    def _is_trusted(self, query: str, name: str | None) -> bool:
        if document_id(query) in self._texts:
            return True
        normal = self._operations.normal(query, name)
        return normal is not None and normal in self._trusted

    def _register(self, text: str) -> None:
        document = parse(text)
        printed = print_ast(document)
        nodes = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
        names = [node.name.value if node.name else None for node in nodes]
        for name in {*names, None} if len(names) == 1 else names:  # an only operation need not be named
            for form in (text, printed):
                operation = self._operations.keep(form, name)
                self._trusted.setdefault(operation.normal, operation)
        self._texts[document_id(text)] = text
        self._texts[document_id(printed)] = text

    def _text(self, parameters: Mapping[str, Any]) -> str:
        query: str | None = parameters.get("query")
        if query:
            return query
        key = _id(parameters)
        text = self._texts.get(key.removeprefix(_PREFIX))
        if text is None:
            code = {"code": "PERSISTED_QUERY_NOT_FOUND"}
            way_out = "send the document itself, or have it registered with the server"
            message = f"no document has the id {key!r:.90}: {way_out}"
            if parameters.get("documentId") is None:
                message = "PersistedQueryNotFound"  # by which, and nothing else, urql and Apollo for iOS know it
            raise OperationError([GraphQLError(message, extensions=code)])
        return text


def is_operator(context: Context) -> bool | None:
    """Say whether an operator asks, as `Documents.open` wants to know it."""
    return None if context.viewer is None else context.directory.operator


def document_id(text: str) -> str:
    """Return the id of a document: the hex sha256 of its UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def fault(parameters: Mapping[str, Any]) -> str | None:
    """Say what is wrong with the form of a request's parameters, or None.

    A document comes as `query`, or by its id in `documentId` or `extensions.persistedQuery`.
    """
    query, key = parameters.get("query") or None, parameters.get("documentId")
    extensions = parameters.get("extensions")
    for name, kind, form in (
        ("query", str, "a string"),
        ("documentId", str, "a string"),
        ("operationName", str, "a string"),
        ("variables", dict, "an object"),
        ("extensions", dict, "an object"),
    ):
        if not isinstance(parameters.get(name), kind | None):
            return f"{name} must be {form}"
    persisted = (extensions or {}).get("persistedQuery")
    if persisted is not None and not (
        isinstance(persisted, dict) and persisted.get("version") == 1 and isinstance(persisted.get("sha256Hash"), str)
    ):
        return "extensions.persistedQuery must be an object with version 1 and sha256Hash, a string"
    if not query and not key and persisted is None:
        return "there is no document: give query, documentId or extensions.persistedQuery"
    if query is not None and key is not None:
        return "give either query or documentId, not both"
    if query is not None and persisted is not None and document_id(query) != persisted["sha256Hash"]:
        return "extensions.persistedQuery.sha256Hash is not that of query"
    return None


def _id(parameters: Mapping[str, Any]) -> str:
    key: str | None = parameters.get("documentId")
    return key if key is not None else parameters["extensions"]["persistedQuery"]["sha256Hash"]


def _kept_back(error: OperationError) -> OperationError:
    """Return what is told of a document's errors to whoever shall not learn the schema: not how many, nor where."""
    if error.about_schema:
        return _introspection()
    if not error.telling:
        return error
    return _refused("the document is not valid here; a server in development says why", "DOCUMENT_INVALID")


def _introspection() -> OperationError:
    return _refused("the schema is shown to operators alone: ask one for it", "INTROSPECTION_OFF")


def _refused(message: str, code: str) -> OperationError:
    return OperationError([GraphQLError(message, extensions={"code": code})])
