"""A connector of one's own before it is one: drafted from an API description, and tried out at its provider."""

from typing import Annotated

import strawberry

from api.catalog.descriptions import description as described
from api.catalog.descriptions.description import FindingKind, Hints
from api.connections import trial as tried
from api.connections.importing import ImportRequest
from api.connections.requests import OwnApp
from api.connections.trial import Outcome, Report, Step, Trial
from api.errors import Conflict, InvalidInput, PermissionDenied
from api.graphql.connecting import FieldValueInput, OAuthAppInput
from api.graphql.context import Info
from api.graphql.definitions import ConnectorDefinition, ConnectorDefinitionInput
from api.graphql.errors import ConflictError, InvalidInputError, PermissionDeniedError, answering
from api.secret import Secret
from models import AuthenticationType


@strawberry.input(description="A description of an API, to draft a connector from.")
class ImportConnectorInput:
    document: str = strawberry.field(
        description="Its text: OpenAPI 3.0 to 3.2 or Swagger 2.0 as JSON or YAML, or a Postman collection 2. Up to 16 MB "
        "where it is in a variable: `document`, or a member `document` of one. Else no longer than any request."
    )
    key: str | None = strawberry.field(default=None, description="The connector's key; made from the title where absent.")
    name: str | None = strawberry.field(default=None, description="The connector's name; the title where absent.")
    url: str | None = strawberry.field(
        default=None, description="Where the document was got from: its relative addresses count from there. It is not fetched."
    )

    def read(self) -> ImportRequest:
        return ImportRequest(self.document, Hints(self.key, self.name, self.url))


@strawberry.input(description="A definition to be tried out.")
class TestConnectorInput:
    definition: ConnectorDefinitionInput = strawberry.field(description="The connector.")
    authentication_type: AuthenticationType | None = strawberry.field(
        default=None, description="Which of its ways to authenticate; the first that it offers where absent."
    )
    fields: list[FieldValueInput] | None = strawberry.field(
        default=None,
        description="What the form asks for. Without the fields of the credential, what needs none is tried.",
    )
    oauth_app: OAuthAppInput | None = strawberry.field(
        name="oauthApp", default=None, description="For consent: an app, to learn whether the provider takes it."
    )

    def read(self) -> Trial:
        """Raises InvalidInput."""
        app = self.oauth_app
        return Trial(
            definition=self.definition.read(),
            type=self.authentication_type,
            fields={field.name: Secret(field.value) for field in self.fields or ()},
            own_app=None if app is None else OwnApp(app.client_id, None if app.client_secret is None else Secret(app.client_secret)),
        )


@strawberry.type(description="Something that the description does not say clearly.")
class UndecidedField:
    field: str = strawberry.field(description="Where the answer goes in the definition, such as `verify.path`.")
    question: str = strawberry.field(description="What somebody must look at.")
    candidates: list[str] = strawberry.field(description="Other answers than the one in the draft, as far as the description names any.")

    @classmethod
    def of(cls, undecided: described.Undecided) -> "UndecidedField":
        return cls(field=undecided.field, question=undecided.question, candidates=list(undecided.candidates))


@strawberry.type(description="Something in the description.")
class DescriptionFinding:
    kind: FindingKind = strawberry.field(description="What became of it.")
    where: str = strawberry.field(description="Where it stands: a dotted path; empty for the whole description.")
    message: str = strawberry.field(description="What it is.")

    @classmethod
    def of(cls, finding: described.Finding) -> "DescriptionFinding":
        return cls(kind=finding.kind, where=finding.where, message=finding.message)


@strawberry.type(description="What a description comes to. Nothing is kept of it.")
class ConnectorDraft:
    definition: ConnectorDefinition = strawberry.field(
        description="The connector. Where nothing is undecided, `createConnector` takes it as it is."
    )
    undecided: list[UndecidedField] = strawberry.field(description="What somebody must decide or look at.")
    findings: list[DescriptionFinding] = strawberry.field(description="What was found where, and what of it was left out, and why.")

    @classmethod
    def of(cls, draft: described.Draft) -> "ConnectorDraft":
        return cls(
            definition=ConnectorDefinition.of(draft.definition),
            undecided=[UndecidedField.of(each) for each in draft.undecided],
            findings=[DescriptionFinding.of(each) for each in draft.found],
        )


@strawberry.type(description="What was found of one step.")
class TestLine:
    step: Step = strawberry.field(description="What was tried.")
    outcome: Outcome = strawberry.field(description="What came of it.")
    message: str = strawberry.field(description="What was found, in words a person understands; never a secret.")
    remedy: str | None = strawberry.field(description="What to look at, where something can be done.")

    @classmethod
    def of(cls, line: tried.Line) -> "TestLine":
        return cls(step=line.step, outcome=line.outcome, message=line.message, remedy=line.remedy)


@strawberry.type(description="The draft was made.")
class ImportConnectorSuccess:
    draft: ConnectorDraft = strawberry.field(description="What the description comes to.")


@strawberry.type(description="The provider was asked.")
class TestConnectorSuccess:
    lines: list[TestLine] = strawberry.field(description="One for each step that the definition has.")
    works: bool = strawberry.field(description="Whether nothing that was tried failed.")

    @classmethod
    def of(cls, report: Report) -> "TestConnectorSuccess":
        return cls(lines=[TestLine.of(line) for line in report.lines], works=report.works)


ImportConnectorResult = Annotated[
    ImportConnectorSuccess | PermissionDeniedError | InvalidInputError | ConflictError,
    strawberry.union("ImportConnectorResult", description="The draft, or why there is none."),
]
TestConnectorResult = Annotated[
    TestConnectorSuccess | PermissionDeniedError | InvalidInputError | ConflictError,
    strawberry.union("TestConnectorResult", description="What was found, or why nobody was asked."),
]


@strawberry.type
class DraftingMutation:
    @strawberry.mutation(
        description="Draft a connector from a description of its API. Nothing is made: look at the draft, and hand its definition to "
        "`createConnector`. What the description refers to is never fetched, but for what an OpenID provider says of itself. "
        "Needs MANAGE_CONNECTORS."
    )
    @answering(PermissionDenied, InvalidInput, Conflict)
    async def import_connector(
        self, info: Info, input: Annotated[ImportConnectorInput, strawberry.argument(description="The description.")]
    ) -> ImportConnectorResult:
        draft = await info.context.patchbay.importing.draft(info.context.actor, input.read())
        return ImportConnectorSuccess(draft=ConnectorDraft.of(draft))

    @strawberry.mutation(
        description="Try a definition out at its provider, without keeping anything: how the authorization server describes itself, what "
        "its endpoints answer, and whether the verify request takes the credential and refuses another. Needs MANAGE_CONNECTORS."
    )
    @answering(PermissionDenied, InvalidInput, Conflict)
    async def test_connector(
        self, info: Info, input: Annotated[TestConnectorInput, strawberry.argument(description="The definition, and what to try it with.")]
    ) -> TestConnectorResult:
        report = await info.context.patchbay.trying.test(info.context.actor, input.read())
        return TestConnectorSuccess.of(report)
