"""The stand-in's Query protocol, which Symfony 5.4's client speaks, beside another implementation's."""

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import pytest

from tests.support.sqs_query import NAMESPACE
from tests.support.sqs_server import SqsServer

NAMES_OF_ITS_OWN = {
    "RequestId",
    "MessageId",
    "ReceiptHandle",
    "QueueUrl",
    "SequenceNumber",
    "Message",
    "message",
}
BODY = 'bödy\r\nwith <tags> & "quotes"\t'
Ask = Callable[..., ET.Element]


def asked(endpoint_url: str) -> Ask:
    """Asks a server for an action, in a form; the answer, an error's too, with the namespace left out."""

    def ask(action: str, **parameters: str | int) -> ET.Element:
        form = urlencode({"Action": action, "Version": "2012-11-05", **parameters}).encode()
        credential = "AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-1/sqs/aws4_request"
        request = urllib.request.Request(  # noqa: S310 - our own server
            f"{endpoint_url}/", form, {"Authorization": f"{credential}, SignedHeaders=host, Signature=0"}
        )
        try:
            with urllib.request.urlopen(request) as answer:  # noqa: S310 - see above
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode()
        return ET.fromstring(text.replace(f' xmlns="{NAMESPACE}"', ""))  # noqa: S314 - our own server's

    return ask


@pytest.fixture
def ours() -> Iterator[Ask]:
    with SqsServer() as server:
        yield asked(server.endpoint_url)


@pytest.fixture
def theirs(moto: Callable[[str], str]) -> Ask:
    return asked(moto("q").removeprefix("sqs+").rsplit("/", 1)[0])


def shape(element: ET.Element) -> list[str]:
    """Each value under its path, but for those that each server makes up, in order of the paths."""
    found = []

    def walk(node: ET.Element, path: str) -> None:
        for child in node:
            walk(child, f"{path}/{child.tag}")
        if not len(node) and node.tag not in NAMES_OF_ITS_OWN:
            found.append(f"{path}={node.text}")

    walk(element, element.tag)
    return sorted(found)


def life_of_a_message(ask: Ask) -> list[list[str]]:
    """What a server answers, from a queue that is missing to one that is empty again."""
    answers = [ask("GetQueueUrl", QueueName="query")]
    answers.append(ask("CreateQueue", QueueName="query", **_pair("Attribute.1", "VisibilityTimeout", "40")))
    url = answers[-1].findtext("CreateQueueResult/QueueUrl", "")
    attributes = {"MessageAttribute.1.Name": "type", "MessageAttribute.2.Name": "amount"}
    for number, (data_type, value) in enumerate([("String", "App\\Message\\Ä"), ("Number", "1")], 1):
        attributes[f"MessageAttribute.{number}.Value.DataType"] = data_type
        attributes[f"MessageAttribute.{number}.Value.StringValue"] = value
    answers.append(ask("SendMessage", QueueUrl=url, MessageBody=BODY, DelaySeconds=0, **attributes))
    received = {"MessageAttributeName.1": "All", "MaxNumberOfMessages": 9, "WaitTimeSeconds": 0}
    answers.append(ask("ReceiveMessage", QueueUrl=url, **received))
    receipt = answers[-1].findtext(".//ReceiptHandle", "")
    answers += [
        ask("ChangeMessageVisibility", QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=30),
        ask("GetQueueAttributes", QueueUrl=url, **{"AttributeName.1": "ApproximateNumberOfMessages"}),
        ask("DeleteMessage", QueueUrl=url, ReceiptHandle=receipt),
        ask("ReceiveMessage", QueueUrl=url, **received),
    ]
    return [shape(answer) for answer in answers]


def _pair(place: str, name: str, value: str) -> dict[str, str]:
    return {f"{place}.Name": name, f"{place}.Value": value}


def test_its_answers_are_those_of_another_implementation(ours: Ask, theirs: Ask) -> None:
    """Each element and value, but for ids, for every action that Symfony's transport asks for."""
    assert life_of_a_message(ours) == life_of_a_message(theirs)


def test_a_body_comes_back_as_it_was_sent(ours: Ask) -> None:
    """With its line ends, which a reader of XML would otherwise make one of, and its marks."""
    url = ours("CreateQueue", QueueName="query").findtext("CreateQueueResult/QueueUrl", "")
    ours("SendMessage", QueueUrl=url, MessageBody=BODY)
    answer = ours("ReceiveMessage", QueueUrl=url)

    assert answer.findtext("ReceiveMessageResult/Message/Body") == BODY
