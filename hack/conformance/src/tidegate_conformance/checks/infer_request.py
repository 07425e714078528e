"""What a request says beside its tensors: id, requested outputs, parameters, members of later versions, media type."""

import json

from tidegate_conformance import sources
from tidegate_conformance.check import Level, check
from tidegate_conformance.expect import equal, true
from tidegate_conformance.rest.infer import check_answer, decode, document
from tidegate_conformance.subject import Subject


@check("rest.infer.id.echo", sources.RESPONSE)
def id_echo(subject: Subject) -> None:
    """The request's id is in the answer."""
    subject.check_infer(subject.model.example(), id="42")


@check("rest.infer.id.exact", sources.RESPONSE)
def id_exact(subject: Subject) -> None:
    """An id with quotes, control characters and Unicode comes back exactly, and in no header."""
    odd = '"quoted" \\ \t\r\nSet-Cookie: a=b \u202e é \N{GRINNING FACE}'
    subject.check_infer(subject.model.example(), id=odd)
    true("the id makes no header", b"\nset-cookie" not in subject.rest.last.received.lower(), odd)


@check("rest.infer.id.none", sources.RESPONSE, level=Level.ROBUSTNESS)
def id_none(subject: Subject) -> None:
    """A request without an id gets an answer without one."""
    found = subject.check_infer(subject.model.example()).document
    equal("id", None, found.get("id"))


@check("rest.infer.id.empty-string", sources.RESPONSE, level=Level.ROBUSTNESS)
def id_empty(subject: Subject) -> None:
    """An empty id comes back as an empty string or not at all."""
    inferred = decode(subject.post(document(subject.model, subject.model.example(), id="")))
    true("id is empty or absent", inferred.document.get("id", "") == "", inferred.document.get("id"))


@check("rest.infer.outputs.all-by-default", sources.REQUEST)
def outputs_default(subject: Subject) -> None:
    """Without "outputs" all outputs come."""
    inferred = subject.check_infer(subject.model.example())
    equal("number of outputs", 2, len(inferred.outputs))


@check("rest.infer.outputs.one", sources.REQUEST)
def outputs_one(subject: Subject) -> None:
    """Only the requested output comes."""
    feeds = subject.model.example()
    for name in ("sum", "difference"):
        inferred = decode(subject.post(document(subject.model, feeds, outputs=[{"name": name}])))
        check_answer(subject.model, inferred, {name: subject.expected(feeds)[name]})


@check("rest.infer.outputs.all-named", sources.REQUEST)
def outputs_all(subject: Subject) -> None:
    """All outputs may be named, in any order."""
    subject.check_infer(subject.model.example(), outputs=[{"name": "difference"}, {"name": "sum"}])


@check("rest.infer.outputs.order", sources.REQUEST, level=Level.ROBUSTNESS)
def outputs_order(subject: Subject) -> None:
    """Outputs come in the order in which they were asked for."""
    request = document(subject.model, subject.model.example(), outputs=[{"name": "difference"}, {"name": "sum"}])
    equal("order of the outputs", ["difference", "sum"], list(decode(subject.post(request)).outputs))


@check("rest.infer.outputs.empty-list", sources.REQUEST, level=Level.ROBUSTNESS)
def outputs_empty(subject: Subject) -> None:
    """An empty "outputs" asks for all of them, as Triton reads it."""
    subject.check_infer(subject.model.example(), outputs=[])


@check("rest.infer.outputs.parameters", sources.PARAMETERS)
def outputs_parameters(subject: Subject) -> None:
    """Parameters of a requested output that nobody knows change nothing."""
    outputs = [{"name": name, "parameters": {"unheard_of": 1}} for name in ("sum", "difference")]
    subject.check_infer(subject.model.example(), outputs=outputs)


@check("rest.infer.parameters.request", sources.PARAMETERS)
def parameters_request(subject: Subject) -> None:
    """Parameters of a request may be strings, numbers and booleans; unknown ones change nothing."""
    parameters = {"text": "a", "whole": 1, "fraction": 0.5, "yes": True, "no": False}
    subject.check_infer(subject.model.example(), parameters=parameters)


@check("rest.infer.parameters.input", sources.PARAMETERS)
def parameters_input(subject: Subject) -> None:
    """Parameters of an input that nobody knows change nothing."""
    feeds = subject.model.example()
    request = document(subject.model, feeds)
    for entry in request["inputs"]:
        entry["parameters"] = {"content_type": "np", "unheard_of": 3}
    check_answer(subject.model, decode(subject.post(request)), subject.expected(feeds))


@check("rest.infer.parameters.empty", sources.PARAMETERS)
def parameters_empty(subject: Subject) -> None:
    """Empty parameters are as good as none."""
    subject.check_infer(subject.model.example(), parameters={})


@check(
    "rest.infer.parameters.priority",
    "triton-inference-server/server, docs/protocol/extension_schedule_policy.md",
    level=Level.EXTENSION,
    extension="schedule_policy",
)
def parameters_priority(subject: Subject) -> None:
    """A priority and a timeout that leaves time enough are taken."""
    subject.check_infer(subject.model.example(), parameters={"priority": 1, "timeout": 10_000_000})


@check("rest.infer.json.unknown-members", sources.REQUEST, level=Level.ROBUSTNESS)
def unknown_members(subject: Subject) -> None:
    """Members of later versions of the protocol are passed over."""
    subject.check_infer(subject.model.example(), model_name=subject.model.name, unheard_of={"deep": [1, {"a": None}]})


@check("rest.infer.json.content-type-absent", "tritonclient.http sends none", level=Level.ROBUSTNESS)
def content_type_absent(subject: Subject) -> None:
    """A request without Content-Type is read as JSON."""
    feeds = subject.model.example()
    body = json.dumps(document(subject.model, feeds)).encode()
    with subject.rest.connect() as connection:
        head = f"POST {connection.prefix}{subject.infer_path} HTTP/1.1\r\nHost: {connection.host}\r\n"
        answer = subject.rest.raw(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body, "POST", connection)
    check_answer(subject.model, decode(answer), subject.expected(feeds))


@check("rest.infer.json.charset", "RFC 9110, 8.3.1", level=Level.ROBUSTNESS)
def charset(subject: Subject) -> None:
    """`application/json; charset=utf-8` is JSON."""
    feeds = subject.model.example()
    headers = {"Content-Type": "Application/JSON; charset=UTF-8"}
    answer = subject.post(document(subject.model, feeds), headers)
    check_answer(subject.model, decode(answer), subject.expected(feeds))


@check("rest.infer.json.header-length-equal", sources.BINARY, level=Level.ROBUSTNESS)
def header_length_equal(subject: Subject) -> None:
    """Inference-Header-Content-Length may be the whole length of a body that is JSON alone."""
    feeds = subject.model.example()
    body = json.dumps(document(subject.model, feeds)).encode()
    answer = subject.post(body, {"Inference-Header-Content-Length": str(len(body))})
    check_answer(subject.model, decode(answer), subject.expected(feeds))


@check("rest.infer.json.response-names", sources.RESPONSE)
def response_names(subject: Subject) -> None:
    """The answer names the model, and a version that the metadata lists."""
    inferred = subject.check_infer(subject.model.example())
    version = inferred.document.get("model_version")
    if version is not None and subject.versions:
        true("model_version is one of the metadata's versions", version in subject.versions, version)


@check("rest.infer.json.no-null-members", sources.RESPONSE, level=Level.ROBUSTNESS)
def no_null_members(subject: Subject) -> None:
    """What an answer doesn't have is absent from it, not null: the specification knows no null."""
    found = subject.check_infer(subject.model.example()).document
    nulls = [name for owner in (found, *found["outputs"]) for name, value in owner.items() if value is None]
    equal("members that are null", [], nulls)
